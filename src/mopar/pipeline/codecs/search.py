"""Looks for the codecs of the best plan that keeps an accuracy budget.

Every tensor begins with the codec that takes it to its readers soonest. The planner cuts the model with those, codecs
of tensors that cross are fitted, and the plan as a whole is measured on requests held apart. While it loses more than
the budget, tensors that lose most for the time that their codecs save get their next best codec, and the model is
planned again. Of the first plan that keeps the budget, the tensors that cross are then given all combinations of their
codecs that may be better: what each codec gains and loses alone orders them, and bisection by measuring whole plans
finds how much of that order the budget allows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from mopar.bundle.sent_codecs import in_graphs
from mopar.codecs import Fitted
from mopar.pipeline.codecs.combinations import Combination, Option, combinations
from mopar.pipeline.codecs.losses import Alone, Losses
from mopar.pipeline.codecs.offers import Boundary
from mopar.pipeline.codecs.options import CodecOptions, PlanWithCodecs
from mopar.pipeline.codecs.preferred import preferred
from mopar.pipeline.stages import PlanOptions, book_of, limits_of, make_plan
from mopar.planning import NO_CODINGS, Codings, crossing_ms, encodable, evaluate, shape_of
from mopar.profiling import Progress
from mopar.types import Accuracy, InfeasibleError, Plan, Profile, TensorCoding

_MOST_ROUNDS = 8
"""Plans after which cuts are taken as they are."""
_NEGLIGIBLE = 0.02
"""Of the budget: where a codec loses no more, and changes answers by at most ``_SLIGHT``, none that gains less could be
better."""
_SLIGHT = 0.01
"""Relative error of answers: larger ones of several tensors may lose points together where none does alone."""
_OVER = 3.0
"""Budgets that losses may add up to: together tensors may lose less than that, or another much more."""
_BEYOND = 3
"""Combinations that are tried beyond the first that loses too much: losses do not quite add up."""

_NOTHING = Alone(0.0, 0.0)


def _unfitted(text: str) -> Fitted:
    raise AssertionError(f"{text} is nothing that is fitted")


class _Measured(NamedTuple):
    plan: Plan
    fitted: Mapping[str, Fitted]
    metric: str
    lost: float


class Search:
    """Planning again with other codecs until a plan keeps the budget, and until none that does is better.

    Args:
        profile: of the model.
        options: of the plan.
        codecs: what may be lost.
        boundary: fits codecs.
        choices: codecs of each tensor, from the one that takes it to a reader soonest on.
        losses: makes what measures losses, where there are any.
    """

    def __init__(
        self,
        profile: Profile,
        options: PlanOptions,
        codecs: CodecOptions,
        boundary: Boundary,
        choices: Mapping[str, Sequence[TensorCoding]],
        losses: Callable[[], Losses],
    ) -> None:
        self._profile, self._options, self._codecs, self._boundary = profile, options, codecs, boundary
        self._choices = choices
        self._left = {tensor: list(codings) for tensor, codings in choices.items()}
        self._limits = limits_of(options)
        self._book = book_of(options, self._limits)
        self._losses = losses
        self.tried: list[float] = []

    def run(self, progress: Progress) -> PlanWithCodecs | None:
        """The best plan that keeps the budget, or any plan where codecs are forced; None where there is none."""
        found = self._first(progress)
        if found is not None and not self._codecs.forced:
            found = self._improved(found, progress)
        if found is None or not found.plan.codecs:
            return None
        budget = None if self._codecs.forced else self._codecs.budget
        accuracy = Accuracy(found.metric, found.lost, budget) if found.fitted else None
        return PlanWithCodecs(found.plan, found.fitted, accuracy, tuple(self.tried))

    def _first(self, progress: Progress) -> _Measured | None:
        """The first plan that keeps the budget, or the last that was tried; any plan where codecs are forced."""
        found = None
        for _ in range(_MOST_ROUNDS):
            codings = {tensor: left[0] for tensor, left in self._left.items() if left}
            found = self._measured(codings, progress)
            if found is None or not found.plan.codecs or self._codecs.forced or self._keeps(found):
                return found
            self._demote(found.plan, found.fitted)
        return found

    def _keeps(self, found: _Measured) -> bool:
        return found.lost <= self._codecs.budget

    def _measured(self, codings: Codings, progress: Progress) -> _Measured | None:
        """The plan with some codecs, and what it loses; None where no plan keeps the limits."""
        try:
            plan = make_plan(self._profile, self._options, codings or NO_CODINGS)
        except InfeasibleError:
            return None
        in_plan = {tensor: text for tensor, text in plan.codecs.items() if in_graphs(text)}
        if not in_plan:
            return _Measured(plan, {}, "", 0.0)
        fitted = self._boundary.fit(in_plan, progress)
        metric, lost = self._losses().of(plan, fitted)
        self.tried.append(lost)
        progress(f"plan {len(self.tried)}: {len(fitted)} tensors encoded, {lost:.3g} points lost ({metric})", None)
        return _Measured(plan, fitted, metric, lost)

    def _demote(self, plan: Plan, fitted: Mapping[str, Fitted]) -> None:
        """Give tensors their next codec, those first that lose most for each ms that theirs saves.

        As many as it takes for the others together to keep the budget, by what each loses alone; at least one.
        """
        alone = {tensor: self._losses().alone(plan, tensor, one).order for tensor, one in fitted.items()}
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

    def _improved(self, found: _Measured, progress: Progress) -> _Measured | None:
        """The best plan that keeps the budget among those with other codecs of the tensors that cross."""
        read = {name for graph in found.plan.graphs for name in graph.inputs}
        crossing = [tensor for tensor in self._choices if tensor in read]
        progress(f"looking for better codecs of {len(crossing)} tensors", None)
        options = {tensor: list(self._options_of(found.plan, tensor, progress)) for tensor in crossing}
        others = {tensor: left[0] for tensor, left in self._left.items() if left and tensor not in read}
        kept = self._keeps(found)
        best, known = found if kept else None, {frozenset(found.plan.codecs.items()): kept}

        def keeps_budget(one: Combination) -> bool:
            nonlocal best
            texts = frozenset((tensor, coding.text) for tensor, coding in one.codings.items())
            if texts not in known:
                now = self._measured({**others, **one.codings}, progress)
                known[texts] = now is not None and self._keeps(now)
                if now is not None and known[texts] and (best is None or preferred(now.plan, best.plan)):
                    best = now
            return known[texts]

        _bisect(combinations(options, _OVER * self._codecs.budget), keeps_budget, self._codecs.budget)
        return best

    def _options_of(self, plan: Plan, tensor: str, progress: Progress) -> Iterator[Option]:
        """What each codec of a tensor gains and loses by itself; those are left out that cannot be the best."""
        yield Option(None, 0.0, 0.0)
        enough = 0.0
        raw = self._figure(plan, NO_CODINGS)
        lossy = any(in_graphs(coding.text) for coding in self._choices[tensor])
        fit = self._boundary.fitting(tensor, progress) if lossy else _unfitted
        for coding in self._choices[tensor]:
            if not encodable(plan.graphs, tensor, coding):
                continue
            gain = raw - self._figure(plan, {tensor: coding})
            if gain <= enough:
                continue
            lost = self._losses().alone(plan, tensor, fit(coding.text)) if in_graphs(coding.text) else _NOTHING
            yield Option(coding, gain, lost.order)
            if lost.points <= _NEGLIGIBLE * self._codecs.budget and lost.error <= _SLIGHT:
                enough = gain

    def _figure(self, plan: Plan, codings: Codings) -> float:
        """What the plan's objective wants to be small."""
        predicted = evaluate(self._profile, self._book, self._limits, shape_of(plan), codings)
        if plan.objective == "cost":
            return predicted.cost_per_million_usd
        if plan.objective == "balanced":
            return predicted.cost_per_million_usd * predicted.latency_ms
        return predicted.latency_ms


def _bisect(order: Sequence[Combination], keeps: Callable[[Combination], bool], budget: float) -> None:
    """Try combinations around the last that keeps the budget.

    Args:
        order: by what they should lose, at least one; the first is the best of those that should lose nothing.
        keeps: measures one.
        budget: points that may be lost.
    """
    low, high = -1, len(order)
    place = max(sum(one.lost <= budget for one in order) - 1, 0)
    while low < high - 1:
        low, high = (place, high) if keeps(order[place]) else (low, place)
        place = (low + high) // 2
    for one in order[high + 1 : high + 1 + _BEYOND]:
        keeps(one)
