"""Codecs on the command line: what is asked of them, and what is said of a plan's."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mopar.cli.output import Output
from mopar.types import Plan, Profile, UsageError

if TYPE_CHECKING:
    from mopar.pipeline.codecs.options import CodecOptions
    from mopar.pipeline.stages import PlanOptions

Calibrated = Annotated[
    Path | None,
    typer.Option("--calibration", metavar="FILE.npz", help="With codecs: several real requests, one after the other."),
]


@dataclass(frozen=True, slots=True)
class CodecRequest:
    """Codecs that were asked for, the model, and the calibration inputs."""

    codecs: "CodecOptions"
    model: Path
    calibration: Path


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
    if trained and not budget:
        raise UsageError("--train-codecs goes with --accuracy-budget: a codec that --codec forces is trained anyway")
    if budget is None and not forced:
        if metric is not None or calibration is not None or model is not None:
            raise UsageError("--calibration, --model and --accuracy-metric go with --accuracy-budget or --codec")
        return None
    from mopar.pipeline.codecs.options import ALL, NONE, CodecOptions

    named = _forced(forced or (), ALL, NONE)
    if set(named.values()) == {NONE}:
        return None
    if calibration is None or model is None:
        raise UsageError("codecs are fitted to real inputs: add --calibration FILE.npz and --model MODEL.onnx")
    return CodecRequest(CodecOptions(budget or 0.0, metric, named, trained), model, calibration)


def _forced(texts: Sequence[str], every: str, none: str) -> dict[str, str]:
    from mopar.codecs import codec_of

    found: dict[str, str] = {}
    for text in texts:
        tensor, equals, name = text.rpartition("=")
        if text == none:
            tensor, name = every, none
        elif not equals or not tensor or not name:
            raise UsageError(f"--codec {text}: write TENSOR=NAME, {every}=NAME or {none}")
        if tensor in found:
            raise UsageError(f"--codec {tensor} is given twice")
        if name != none:
            codec_of(name)
        found[tensor] = name
    return found


def planned_with_codecs(
    out: Output, request: CodecRequest, profile: Profile, options: "PlanOptions", output: Path
) -> Plan:
    """The plan with its codecs, which are written beside it."""
    from mopar.graph import load_model
    from mopar.measurement.codec_costs import codec_costs
    from mopar.pipeline.codecs.calibration import load_calibration
    from mopar.pipeline.codecs.choose import choose
    from mopar.pipeline.codecs.file import codecs_path, write_codecs

    loaded = load_model(request.model)
    if loaded.graph_sha256 != profile.model.graph_sha256:
        raise UsageError(f"{request.model}: the profile is of another model; run: mopar profile {request.model}")
    calibration = load_calibration(request.calibration, loaded.inputs)
    costs = codec_costs(progress=out.progress)
    chosen = choose(loaded, profile, options, calibration, request.codecs, costs, out.progress)
    if chosen.accuracy is None:
        lost = f"; the plans that were tried lose {min(chosen.tried):.3g} points or more" if chosen.tried else ""
        out.notice(f"no tensor is sent encoded: no codec within the budget makes the plan better{lost}")
        return chosen.plan
    coding = write_codecs(codecs_path(output), chosen.codings, chosen.accuracy)
    return replace(chosen.plan, coding=coding)


def codecs_text(plan: Plan) -> Iterator[str]:
    """What a plan loses, and how each tensor is sent."""
    if plan.coding is None:
        return
    accuracy = plan.coding.accuracy
    budget = "codecs were forced" if accuracy.budget is None else f"{accuracy.budget:g} may be"
    yield f"codecs: {accuracy.measured:.3g} points lost by {accuracy.metric} on inputs held apart, {budget}"
    texts: dict[str, list[str]] = {}
    for tensor, text in plan.codecs.items():
        texts.setdefault(text, []).append(tensor)
    for text, tensors in texts.items():
        yield f"  {text}: {', '.join(tensors)}"
