"""Codecs on the command line: what is asked of them, and what is said of a plan's."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mopar.cli.output import Output
from mopar.types import Plan, PlatformError, Profile, UsageError

if TYPE_CHECKING:
    from mopar.graph import Model
    from mopar.pipeline.codecs.messages import MessageCodecs
    from mopar.pipeline.codecs.options import CodecOptions
    from mopar.pipeline.stages import PlanOptions

_GENERATED = 2
"""Requests that are made where none are given."""
Calibrated = Annotated[
    Path | None,
    typer.Option("--calibration", metavar="FILE.npz", help="Several real requests, one after the other, for codecs."),
]


@dataclass(frozen=True, slots=True)
class CodecRequest:
    """Codecs that a plan may have.

    Attributes:
        codecs: what was asked for; without a budget and forced codecs, those that lose nothing.
        model: None for the file of the model's name beside the profile, or here.
        calibration: None for generated inputs.
        asked: whether codecs were asked for, so that what they need has to be there.
    """

    codecs: "CodecOptions"
    model: Path | None
    calibration: Path | None
    asked: bool


def codec_request(
    budget: float | None,
    forced: Sequence[str] | None,
    metric: str | None,
    calibration: Path | None,
    model: Path | None,
    *,
    trained: bool = False,
) -> CodecRequest | None:
    """What the options ask for; None where they ask for no codecs. Raises UsageError."""
    from mopar.bundle.sent_codecs import is_lossless
    from mopar.pipeline.codecs.options import FAMILY, NONE, CodecOptions

    if trained and not budget:
        raise UsageError("--train-codecs goes with --accuracy-budget: a codec that --codec forces is trained anyway")

    named = _forced(forced or ())
    if named and set(named.values()) == {NONE}:
        return None
    lossless = all(is_lossless(name) or name in {NONE, FAMILY} for name in named.values())
    lossy = budget is not None or not lossless
    if lossy and (calibration is None or model is None):
        raise UsageError("codecs are fitted to real inputs: add --calibration FILE.npz and --model MODEL.onnx")
    if metric is not None and not lossy:
        raise UsageError("--accuracy-metric goes with --accuracy-budget or --codec: nothing is lost without them")
    options = CodecOptions(budget or 0.0, metric, named, trained)
    return CodecRequest(options, model, calibration, asked=lossy or bool(named))


def plan_without(out: Output, request: CodecRequest | None, options: "PlanOptions") -> None:
    """Say that a plan has no codecs, where it would have some. Raises UsageError where codecs were asked for."""
    from mopar.pipeline.stages import limits_of

    if request is None:
        return
    if request.asked:
        raise UsageError("--pareto and --refine plan without codecs: leave out --accuracy-budget and --codec")
    if not limits_of(options).shares_memory:
        out.notice("tensors are sent as they are: plan without --pareto, and what compresses is compressed")


def _forced(texts: Sequence[str]) -> dict[str, str]:
    from mopar.bundle.sent_codecs import is_lossless
    from mopar.codecs import codec_of
    from mopar.pipeline.codecs.options import ALL, FAMILY, NONE

    found: dict[str, str] = {}
    for text in texts:
        tensor, equals, name = text.rpartition("=")
        if text == NONE:
            tensor, name = ALL, NONE
        elif not equals or not tensor or not name:
            raise UsageError(f"--codec {text}: write TENSOR=NAME, {ALL}=NAME or {NONE}")
        if tensor in found:
            raise UsageError(f"--codec {tensor} is given twice")
        if name not in {NONE, FAMILY} and not is_lossless(name):
            codec_of(name)
        found[tensor] = name
    return found


def planned_with_codecs(
    out: Output, request: CodecRequest, profile: Profile, options: "PlanOptions", paths: tuple[Path, Path]
) -> Plan:
    """The plan with its codecs; what graphs' codecs were fitted to be is written beside it.

    Args:
        out: for progress and notices.
        request: which codecs.
        profile: of the model.
        options: of the plan.
        paths: of the profile and of the plan.
    """
    from mopar.pipeline.stages import book_of, limits_of, make_plan

    limits = limits_of(options)
    by = book_of(options, limits).orchestrator
    if not request.asked and (limits.shares_memory or (by is not None and by.state_bytes is not None)):
        return make_plan(profile, options)
    model = _model_of(request, profile, paths[0])
    if model is None:
        if request.asked:
            raise UsageError("codecs are measured on the model's tensors: add --model MODEL.onnx")
        if options.network is not None:
            out.notice("tensors are sent as they are: name the model with --model, and what compresses is compressed")
        return make_plan(profile, options)
    messages = _messages(out, request)
    if messages is None and not request.asked:
        return make_plan(profile, options)
    return _chosen(out, request, (model, profile), options, messages, paths[1])


def _chosen(
    out: Output,
    request: CodecRequest,
    known: "tuple[Model, Profile]",
    options: "PlanOptions",
    messages: "MessageCodecs | None",
    output: Path,
) -> Plan:
    from mopar.bundle.sent_codecs import is_lossless
    from mopar.measurement.codec_costs import codec_costs
    from mopar.pipeline.codecs.calibration import Calibration, load_calibration
    from mopar.pipeline.codecs.choose import choose
    from mopar.pipeline.codecs.file import codecs_path, write_codecs
    from mopar.pipeline.stages import requests_for

    model, profile = known
    if request.calibration is None:
        made = requests_for(model.inputs, profile.recipes, count=_GENERATED)
        calibration = Calibration(tuple(made), ())
    else:
        calibration = load_calibration(request.calibration, model.inputs)
    lossy = request.codecs.loses
    costs = codec_costs(progress=out.progress) if lossy else None
    chosen = choose(model, profile, options, calibration, request.codecs, costs, out.progress, messages)
    if request.calibration is None and any(map(is_lossless, chosen.plan.codecs.values())):
        out.notice("how well tensors compress was measured on generated inputs: name real ones with --calibration")
    if lossy and chosen.accuracy is None:
        lost = f"; the plans that were tried lose {min(chosen.tried):.3g} points or more" if chosen.tried else ""
        out.notice(f"no tensor is sent with a lossy codec: none within the budget makes the plan better{lost}")
    if chosen.accuracy is None:
        return chosen.plan
    coding = write_codecs(codecs_path(output), chosen.codings, chosen.accuracy)
    return replace(chosen.plan, coding=coding)


def _model_of(request: CodecRequest, profile: Profile, path: Path) -> "Model | None":
    """The profile's model; None where it was not named, and is not found."""
    from mopar.graph import load_model
    from mopar.types import ModelError

    if request.model is not None:
        loaded = load_model(request.model)
        if loaded.graph_sha256 != profile.model.graph_sha256:
            raise UsageError(f"{request.model}: the profile is of another model; run: mopar profile {request.model}")
        return loaded
    name = f"{profile.model.name}.onnx"
    for found in {path.parent / name, Path(name)}:
        if found.is_file():
            with contextlib.suppress(ModelError):
                loaded = load_model(found)
                if loaded.graph_sha256 == profile.model.graph_sha256:
                    return loaded
    return None


def _messages(out: Output, request: CodecRequest) -> "MessageCodecs | None":
    """What measures codecs of messages; None where their library is not here."""
    from mopar.pipeline.codecs.messages import MessageCodecs

    try:
        return MessageCodecs.here()
    except PlatformError as error:
        if request.asked and not request.codecs.loses:
            raise
        out.notice(f"no tensor is compressed: {error}")
        return None


def codecs_text(plan: Plan) -> Iterator[str]:
    """What a plan loses, and how each tensor is sent."""
    if not plan.codecs:
        return
    if plan.coding is None:
        yield "codecs: nothing is lost"
    else:
        accuracy = plan.coding.accuracy
        budget = "codecs were forced" if accuracy.budget is None else f"{accuracy.budget:g} may be"
        yield f"codecs: {accuracy.measured:.3g} points lost by {accuracy.metric} on inputs held apart, {budget}"
    texts: dict[str, list[str]] = {}
    for tensor, text in plan.codecs.items():
        texts.setdefault(text, []).append(tensor)
    for text, tensors in texts.items():
        yield f"  {text}: {', '.join(tensors)}"
