"""Which codec each tensor is sent with: as short a way as possible within an accuracy budget, together with the cuts.

Every tensor begins with the codec that takes it to its readers soonest; without a budget only codecs of messages are
considered, which lose nothing. The planner cuts the model with those, codecs of tensors that cross are fitted, and the
plan as a whole is measured on requests held apart. While it loses more than the budget, tensors that lose most for the
time that their codecs save get their next best codec, and the model is planned again.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from mopar.bundle.sent_codecs import in_graphs
from mopar.codecs import Fitted
from mopar.graph import Model, extract, layers_of
from mopar.measurement.codec_costs import CodecCosts
from mopar.pipeline.codecs.accuracy import Answers, loss_of, relative_error
from mopar.pipeline.codecs.calibration import Calibration
from mopar.pipeline.codecs.engine import SlicedModel, session_of
from mopar.pipeline.codecs.messages import MessageCodecs
from mopar.pipeline.codecs.offers import Boundary
from mopar.pipeline.codecs.preferred import preferred
from mopar.pipeline.stages import PlanOptions, limits_of, make_plan
from mopar.planning import NO_CODINGS, crossing_ms, stored, worthwhile
from mopar.profiling import Progress
from mopar.types import Accuracy, InfeasibleError, Plan, Profile, TensorCoding, UsageError

_MOST_ROUNDS = 15
ALL, NONE = "all", "none"
FAMILY = "blosc2"
"""Before the colon of codecs of messages: any of them."""
_TIE = 1e-3
"""What a relative error counts beside points lost: it orders tensors that lose the same by themselves."""


@dataclass(frozen=True, slots=True)
class CodecOptions:
    """What ``mopar plan`` takes.

    Attributes:
        budget: most points that the plan as a whole may lose.
        metric: of the loss; None for the one that suits the model's answers.
        forced: tensor, or ``all`` -> a codec's name or text, or ``none``: tensors named here have no other, whatever it
            saves and loses, and tensors that are not named have none.
    """

    budget: float = 0.0
    metric: str | None = None
    forced: Mapping[str, str] = field(default_factory=dict)

    @property
    def loses(self) -> bool:
        """Whether codecs that lose something are considered."""
        named = self.forced.values()
        return self.budget > 0 or any(text not in {NONE, FAMILY} and in_graphs(text) for text in named)

    def allows(self, tensor: str, text: str) -> bool:
        """Whether a tensor may have a codec."""
        if not self.forced:
            return True
        wanted = self.forced.get(tensor, self.forced.get(ALL, NONE))
        return wanted in {text, text.partition(":")[0]}


@dataclass(frozen=True, slots=True)
class Chosen:
    """A plan with its codecs.

    Attributes:
        plan: with ``codecs``, but without ``coding``, which names the file that they are written to.
        codings: what was fitted, of codecs that lose something.
        accuracy: of the plan; None where nothing is lost.
        tried: points lost by each plan that was measured.
    """

    plan: Plan
    codings: Mapping[str, Fitted]
    accuracy: Accuracy | None
    tried: tuple[float, ...] = ()


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
        UsageError: an option makes no sense.
        EngineError, InputError: the model cannot be run on the calibration's requests.
    """
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
    search = _Search(model, profile, options, calibration, codecs, boundary, choices)
    found = search.run(progress) if choices else None
    if found is None or not (codecs.forced or isinstance(raw, InfeasibleError) or preferred(found.plan, raw)):
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


class _Search:
    """Planning again with other codecs until a plan keeps the budget."""

    def __init__(
        self,
        model: Model,
        profile: Profile,
        options: PlanOptions,
        calibration: Calibration,
        codecs: CodecOptions,
        boundary: Boundary,
        choices: Mapping[str, Sequence[TensorCoding]],
    ) -> None:
        self._profile, self._options, self._codecs, self._boundary = profile, options, codecs, boundary
        self._left = {tensor: list(codings) for tensor, codings in choices.items()}
        self._held, self._limits = calibration.held_apart, limits_of(options)
        layers = layers_of(model)
        self._sliced = SlicedModel(model, layers)
        self._model, self._layers = model, layers
        self._losses: dict[tuple[object, ...], float] = {}
        self.tried: list[float] = []

    def run(self, progress: Progress) -> Chosen | None:
        """The first plan that keeps the budget, or any plan where codecs are forced; None where there is none."""
        want: Answers | None = None
        for number in range(_MOST_ROUNDS):
            codings = {tensor: left[0] for tensor, left in self._left.items() if left}
            try:
                plan = make_plan(self._profile, self._options, codings or NO_CODINGS)
            except InfeasibleError:
                return None
            if not plan.codecs:
                return None
            fitted = self._boundary.fit({name: text for name, text in plan.codecs.items() if in_graphs(text)})
            if not fitted:
                progress(f"plan {number + 1}: {len(plan.codecs)} tensors encoded without loss", None)
                return Chosen(plan, {}, None, tuple(self.tried))
            want = self._wanted() if want is None else want
            self._sliced.cut(plan)
            metric, lost = loss_of(self._sliced.answers(plan, fitted, self._held), want, self._codecs.metric)
            self.tried.append(lost)
            progress(f"plan {number + 1}: {len(plan.codecs)} tensors encoded, {lost:.3g} points lost ({metric})", None)
            if self._codecs.forced or lost <= self._codecs.budget:
                budget = None if self._codecs.forced else self._codecs.budget
                return Chosen(plan, fitted, Accuracy(metric, lost, budget), tuple(self.tried))
            self._demote(plan, fitted, want)
        return None

    def _wanted(self) -> Answers:
        """The model's own answers."""
        whole = session_of(extract(self._model, 0, len(self._layers), self._layers))
        return [whole.run(request) for request in self._held]

    def _demote(self, plan: Plan, fitted: Mapping[str, Fitted], want: Answers) -> None:
        """Give tensors their next codec, those first that lose most for each ms that theirs saves.

        As many as it takes for the others together to keep the budget, by what each loses alone; at least one.
        """
        alone = {tensor: self._lost_alone(plan, tensor, fitted, want) for tensor in fitted}
        order = sorted(fitted, key=lambda tensor: alone[tensor] / self._saved_ms(tensor), reverse=True)
        left = sum(alone.values())
        for number, tensor in enumerate(order):
            if number and left <= self._codecs.budget:
                break
            left -= alone[tensor]
            self._left[tensor].pop(0)

    def _saved_ms(self, tensor: str) -> float:
        """Time that a tensor's codec saves over its next one, or over none."""
        here, *others = self._left[tensor]
        after = crossing_ms(self._profile.runtime, self._limits, others[0] if others else None)
        now = crossing_ms(self._profile.runtime, self._limits, here)
        return max((after - now) * self._boundary.sizes[tensor], 1e-9)

    def _lost_alone(self, plan: Plan, tensor: str, fitted: Mapping[str, Fitted], want: Answers) -> float:
        """Points that a plan loses where this tensor alone is encoded."""
        readers = tuple((graph.start, graph.stop) for graph in plan.graphs if tensor in {*graph.inputs, *graph.outputs})
        key = (tensor, fitted[tensor].text, readers)
        if key not in self._losses:
            got = self._sliced.answers(plan, {tensor: fitted[tensor]}, self._held)
            _, lost = loss_of(got, want, self._codecs.metric)
            self._losses[key] = lost + _TIE * relative_error(got, want)
        return self._losses[key]
