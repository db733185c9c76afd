"""Which codec each tensor is sent with: as short a way as possible within an accuracy budget, together with the cuts.

The plan that the search finds is taken where the objective prefers it to the plan without codecs.
"""

import functools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from mopar.codecs import require_training
from mopar.graph import Model, layers_of
from mopar.measurement.codec_costs import CodecCosts
from mopar.pipeline.codecs.calibration import Calibration
from mopar.pipeline.codecs.losses import Losses
from mopar.pipeline.codecs.messages import MessageCodecs
from mopar.pipeline.codecs.offers import Boundary
from mopar.pipeline.codecs.options import ALL, NONE, Chosen, CodecOptions
from mopar.pipeline.codecs.preferred import WORTH, preferred
from mopar.pipeline.codecs.search import Search
from mopar.pipeline.stages import PlanOptions, limits_of, make_plan
from mopar.planning import cheapest, encodable, for_parts, stored, worthwhile
from mopar.profiling import Progress
from mopar.types import InfeasibleError, Plan, Profile, TensorCoding, UsageError


def choose(
    model: Model,
    profile: Profile,
    options: PlanOptions,
    calibration: Calibration,
    codecs: CodecOptions,
    costs: CodecCosts | None = None,
    progress: Progress = lambda _stage, _share: None,
    messages: MessageCodecs | None = None,
) -> Chosen:
    """Plan a model with codecs; without any where none is worth its time, or none keeps the budget.

    Args:
        model: in canonical form.
        profile: of the model.
        options: of the plan.
        calibration: requests of real inputs.
        codecs: what may be lost.
        costs: of codecs that lose something, on this machine; None where none is to be considered.
        progress: called with each stage.
        messages: measures codecs that lose nothing; None where none is to be considered.

    Raises:
        InfeasibleError: no plan keeps the limits, encoded or not.
        UsageError: an option makes no sense, or a package that trains codecs is missing.
        EngineError, InputError: the model cannot be run on the calibration's requests.
    """
    if codecs.trained:
        require_training()
    try:
        raw: Plan | InfeasibleError = make_plan(profile, options)
    except InfeasibleError as error:
        raw = error
    boundary = Boundary(model, layers_of(model), profile, calibration.fitted)
    offered = _offered(boundary, codecs, costs, messages, progress)
    _check_forced(codecs, boundary, offered)
    limits = limits_of(options)
    for name, coding in (stored(profile, limits) if options.object_store else {}).items():
        offered[name] = [*offered.get(name, ()), coding]
    choices = worthwhile(profile, limits, offered, all_of_them=bool(codecs.forced))
    losses = functools.cache(lambda: Losses(model, calibration, codecs.metric))
    among = _searched(profile, options, codecs, choices)
    found, tried = _best((Search(profile, options, losses, codecs, boundary, own) for own in among), progress)
    if found is None or not (codecs.forced or isinstance(raw, InfeasibleError) or preferred(found.plan, raw, WORTH)):
        if isinstance(raw, InfeasibleError):
            raise raw
        return Chosen(raw, {}, None, tried)
    return replace(found, tried=tried)


def _best(searches: Iterable[Search], progress: Progress) -> tuple[Chosen | None, tuple[float, ...]]:
    """The best plan of all searches, and what the plans that they measured lose."""
    found: Chosen | None = None
    tried: list[float] = []
    for search in searches:
        other = search.run(progress)
        tried += search.tried
        if other is not None and (found is None or preferred(other.plan, found.plan)):
            found = other
    return found, tuple(tried)


def _searched(
    profile: Profile, options: PlanOptions, codecs: CodecOptions, choices: Mapping[str, Sequence[TensorCoding]]
) -> Iterator[Mapping[str, Sequence[TensorCoding]]]:
    """The codecs of each tensor among which the best are looked for.

    First all of them: no plan has steps whose shares they do not encode. Then, where one with the codecs alone that
    encode whatever parts make has such steps, those that encode what its parts make.
    """
    if not choices:
        return
    yield choices
    given = options.cuts is not None or options.uniform is not None or options.max_parts == 1
    if codecs.forced or given or not profile.shards:
        return
    try:
        plan = make_plan(profile, options, cheapest(for_parts(profile, choices)))
    except InfeasibleError:
        return
    kept = {
        tensor: tuple(coding for coding in codings if encodable(plan.graphs, tensor, coding))
        for tensor, codings in choices.items()
    }
    if kept != choices:
        yield {tensor: codings for tensor, codings in kept.items() if codings}


def _offered(
    boundary: Boundary,
    codecs: CodecOptions,
    costs: CodecCosts | None,
    messages: MessageCodecs | None,
    progress: Progress,
) -> dict[str, list[TensorCoding]]:
    """The codecs that each tensor may have."""
    found: dict[str, list[TensorCoding]] = {}
    if costs is not None and codecs.loses:
        progress("fitting codecs", None)
        found = boundary.offers(costs, codecs.allows)
    if messages is not None:
        progress("compressing tensors", None)
        for name, codings in boundary.message_offers(messages, codecs.allows).items():
            found[name] = [*found.get(name, ()), *codings]
    return {name: codings for name, codings in found.items() if codings}


def _check_forced(codecs: CodecOptions, boundary: Boundary, offered: Collection[str]) -> None:
    for name, text in codecs.forced.items():
        if name != ALL and name not in boundary.names:
            raise UsageError(
                f"--codec {name}={text}: no such tensor passes between layers: `mopar profile --json` lists them"
            )
        if text != NONE and name not in offered and not (name == ALL and offered):
            raise UsageError(f"--codec {name}={text}: the codec does not apply: docs/codecs.md says where each does")
