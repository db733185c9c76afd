"""Which codec each tensor is sent with: as short a way as possible within an accuracy budget, together with the cuts.

The plan that the search finds is taken where the objective prefers it to the plan without codecs.
"""

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from mopar.codecs import require_training
from mopar.graph import Model, layers_of
from mopar.measurement.codec_costs import CodecCosts
from mopar.pipeline.codecs.calibration import Calibration
from mopar.pipeline.codecs.losses import Losses
from mopar.pipeline.codecs.messages import MessageCodecs
from mopar.pipeline.codecs.offers import Boundary, Wanted
from mopar.pipeline.codecs.options import ALL, NONE, CodecOptions, PlanWithCodecs
from mopar.pipeline.codecs.preferred import WORTH, preferred
from mopar.pipeline.codecs.search import Search
from mopar.pipeline.codecs.searches import best_of, searched
from mopar.pipeline.stages import PlanOptions, book_of, limits_of, make_plan
from mopar.planning import Codings, stored, worthwhile
from mopar.profiling import Progress
from mopar.types import InfeasibleError, Orchestrator, Plan, Profile, TensorCoding, UsageError, code_text


class CodecPlanner:
    """Plans a model with codecs: for several platforms, networks, cuts and budgets.

    What codecs save, what they are fitted to and what a plan loses depends on none of these, and is found once.

    Args:
        model: in canonical form.
        profile: of the model.
        calibration: requests of real inputs.
        costs: of codecs that lose something, on this machine; None where none is to be considered.
        messages: measures codecs that lose nothing; None where none is to be considered.
        wanted: codecs that any plan may have; by default all.
    """

    def __init__(
        self,
        model: Model,
        profile: Profile,
        calibration: Calibration,
        costs: CodecCosts | None = None,
        messages: MessageCodecs | None = None,
        wanted: Wanted = lambda _tensor, _text: True,
    ) -> None:
        self._model, self._profile, self._calibration = model, profile, calibration
        self._costs, self._messages, self._wanted = costs, messages, wanted
        self._boundary = Boundary(model, layers_of(model), profile, calibration.fitted)
        self._lossy: dict[str, list[TensorCoding]] | None = None
        self._lossless: dict[str, list[TensorCoding]] | None = None
        self._losses: dict[str | None, Losses] = {}

    def choose(
        self, options: PlanOptions, codecs: CodecOptions, progress: Progress = lambda _stage, _share: None
    ) -> PlanWithCodecs:
        """A plan with codecs; without any where none is worth its time, or none keeps the budget.

        Args:
            options: of the plan.
            codecs: what may be lost.
            progress: called with each stage.

        Raises:
            InfeasibleError: no plan keeps the limits, encoded or not.
            UsageError: an option makes no sense, or a package that trains codecs is missing.
            EngineError, InputError: the model cannot be run on the calibration's requests.
        """
        if codecs.trained:
            require_training()
        try:
            raw: Plan | InfeasibleError = make_plan(self._profile, options)
        except InfeasibleError as error:
            raw = error
        limits = limits_of(options)
        sent = _sent(self._profile, book_of(options, limits).orchestrator, codecs.allows)
        offered = self._offered(codecs, sent, progress)
        _check_forced(codecs, self._boundary, offered)
        if options.object_store:
            offered = _with_store(offered, stored(self._profile, limits))
        choices = worthwhile(self._profile, limits, offered, all_of_them=bool(codecs.forced))
        losses = functools.partial(self._losses_by, codecs.metric)
        among = searched(self._profile, options, codecs, choices)
        searches = (Search(self._profile, options, codecs, self._boundary, own, losses) for own in among)
        found, tried = best_of(searches, progress)
        if found is None or not (
            codecs.forced or isinstance(raw, InfeasibleError) or preferred(found.plan, raw, WORTH)
        ):
            if isinstance(raw, InfeasibleError):
                raise raw
            return PlanWithCodecs(raw, {}, None, tried)
        return replace(found, tried=tried)

    def codings(self, plan: Plan, codecs: CodecOptions) -> Codings:
        """What the planner counts for the codecs of a plan that was chosen with these options."""
        offered = self._offered(codecs, codecs.allows)
        return {
            tensor: coding
            for tensor, text in plan.codecs.items()
            for coding in offered.get(tensor, ())
            if coding.text == text
        }

    def _offered(
        self, codecs: CodecOptions, sent: Wanted, progress: Progress = lambda _stage, _share: None
    ) -> dict[str, list[TensorCoding]]:
        """The codecs that each tensor may have; ``sent`` says which of messages, and of those that need these."""
        lossy = self._graphs_offered(progress) if codecs.loses else {}
        found = _only(lossy, lambda tensor, text: (sent if code_text(text) else codecs.allows)(tensor, text))
        for name, codings in _only(self._messages_offered(progress), sent).items():
            found[name] = [*found.get(name, ()), *codings]
        return found

    def _graphs_offered(self, progress: Progress) -> dict[str, list[TensorCoding]]:
        if self._costs is None:
            return {}
        if self._lossy is None:
            progress("fitting codecs", None)
            self._lossy = self._boundary.offers(self._costs, self._wanted, self._messages)
        return self._lossy

    def _messages_offered(self, progress: Progress) -> dict[str, list[TensorCoding]]:
        if self._messages is None:
            return {}
        if self._lossless is None:
            progress("compressing tensors", None)
            self._lossless = self._boundary.message_offers(self._messages, self._wanted)
        return self._lossless

    def _losses_by(self, metric: str | None) -> Losses:
        """Measures losses by a metric, where there are any."""
        if metric not in self._losses:
            self._losses[metric] = Losses(self._model, self._calibration, metric)
        return self._losses[metric]


def choose(
    model: Model,
    profile: Profile,
    options: PlanOptions,
    calibration: Calibration,
    codecs: CodecOptions,
    costs: CodecCosts | None = None,
    progress: Progress = lambda _stage, _share: None,
    messages: MessageCodecs | None = None,
) -> PlanWithCodecs:
    """One plan of a model with codecs: see ``CodecPlanner``, which takes and raises the same."""
    planner = CodecPlanner(model, profile, calibration, costs, messages, codecs.allows)
    return planner.choose(options, codecs, progress)


def _only(offered: Mapping[str, Sequence[TensorCoding]], wanted: Wanted) -> dict[str, list[TensorCoding]]:
    """What is offered and wanted."""
    found = {name: [coding for coding in codings if wanted(name, coding.text)] for name, codings in offered.items()}
    return {name: codings for name, codings in found.items() if codings}


def _with_store(
    offered: dict[str, list[TensorCoding]], objects: Mapping[str, TensorCoding]
) -> dict[str, list[TensorCoding]]:
    return {**offered, **{name: [*offered.get(name, ()), coding] for name, coding in objects.items()}}


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
