"""Which codec each tensor is sent with: as short a way as possible within an accuracy budget, together with the cuts.

The plan that the search finds is taken where the objective prefers it to the plan without codecs.
"""

from collections.abc import Collection

from mopar.codecs import require_training
from mopar.graph import Model, layers_of
from mopar.measurement.codec_costs import CodecCosts
from mopar.pipeline.codecs.calibration import Calibration
from mopar.pipeline.codecs.messages import MessageCodecs
from mopar.pipeline.codecs.offers import Boundary, Wanted
from mopar.pipeline.codecs.options import ALL, NONE, Chosen, CodecOptions
from mopar.pipeline.codecs.preferred import WORTH, preferred
from mopar.pipeline.codecs.search import Search
from mopar.pipeline.stages import PlanOptions, book_of, limits_of, make_plan
from mopar.planning import stored, worthwhile
from mopar.profiling import Progress
from mopar.types import InfeasibleError, Orchestrator, Plan, Profile, TensorCoding, UsageError


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
    limits = limits_of(options)
    sent = _sent(profile, book_of(options, limits).orchestrator, codecs.allows)
    offered = _offered(boundary, codecs, costs, messages, progress, sent)
    _check_forced(codecs, boundary, offered)
    for name, coding in (stored(profile, limits) if options.object_store else {}).items():
        offered[name] = [*offered.get(name, ()), coding]
    choices = worthwhile(profile, limits, offered, all_of_them=bool(codecs.forced))
    search = Search(model, profile, options, calibration, codecs, boundary, choices)
    found = search.run(progress) if choices else None
    if found is None or not (codecs.forced or isinstance(raw, InfeasibleError) or preferred(found.plan, raw, WORTH)):
        if isinstance(raw, InfeasibleError):
            raise raw
        return Chosen(raw, {}, None, tuple(search.tried))
    return found


def _offered(
    boundary: Boundary,
    codecs: CodecOptions,
    costs: CodecCosts | None,
    messages: MessageCodecs | None,
    progress: Progress,
    sent: Wanted,
) -> dict[str, list[TensorCoding]]:
    """The codecs that each tensor may have; ``sent`` says which of messages."""
    found: dict[str, list[TensorCoding]] = {}
    if costs is not None and codecs.loses:
        progress("fitting codecs", None)
        found = boundary.offers(costs, codecs.allows)
    if messages is not None:
        progress("compressing tensors", None)
        for name, codings in boundary.message_offers(messages, sent).items():
            found[name] = [*found.get(name, ()), *codings]
    return {name: codings for name, codings in found.items() if codings}


def _sent(profile: Profile, by: Orchestrator | None, allows: Wanted) -> Wanted:
    """Which codecs of messages tensors may have: what runs the plan may pass on no codes, or make and read none."""
    if by is None:
        return allows
    own = {spec.name for spec in (*profile.inputs, *profile.outputs)}
    return lambda tensor, text: by.state_bytes is None and (by.encodes or tensor not in own) and allows(tensor, text)


def _check_forced(codecs: CodecOptions, boundary: Boundary, offered: Collection[str]) -> None:
    for name, text in codecs.forced.items():
        if name != ALL and name not in boundary.names:
            raise UsageError(
                f"--codec {name}={text}: no such tensor passes between layers: `mopar profile --json` lists them"
            )
        if text != NONE and name not in offered and not (name == ALL and offered):
            raise UsageError(f"--codec {name}={text}: the codec does not apply: docs/codecs.md says where each does")
