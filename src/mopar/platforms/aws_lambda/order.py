"""The calls of a plan as nested sequences and parallel branches, which is all that a state machine can express."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mopar.bundle.call_plans import CallPlan


@dataclass(frozen=True, slots=True)
class Parallel:
    """Branches without an edge between them."""

    branches: tuple["Sequential", ...]


@dataclass(frozen=True, slots=True)
class Sequential:
    """Calls and groups of parallel branches, one after the other."""

    stages: "tuple[CallPlan | Parallel, ...]"

    def calls(self) -> tuple[CallPlan, ...]:
        """All calls, those of branches too."""
        found: list[CallPlan] = []
        for stage in self.stages:
            inner = (
                [stage] if isinstance(stage, CallPlan) else [plan for part in stage.branches for plan in part.calls()]
            )
            found += inner
        return tuple(found)


def ordered(plans: Sequence[CallPlan]) -> Sequential:
    """All calls in an order that keeps every edge, with as much in parallel as nesting allows.

    Calls without an edge between them, even through others, become branches. Where branches exchange tensors, the
    calls whose inputs exist form a stage, and the others wait for all of it.

    Args:
        plans: in an order in which they can run.
    """
    return Sequential(tuple(_stages(list(plans))))


def _stages(plans: list[CallPlan]) -> Iterable[CallPlan | Parallel]:
    while plans:
        stage = _first_stage(plans)
        inside = {plan.call.id for plan in stage}
        parts = _independent(stage)
        if len(parts) > 1:
            yield Parallel(tuple(Sequential(tuple(_stages(part))) for part in parts))
        else:
            yield from stage if len(stage) == 1 else _stages(stage)
        plans = [plan for plan in plans if plan.call.id not in inside]


def _first_stage(plans: list[CallPlan]) -> list[CallPlan]:
    """The fewest first calls that all others wait for anyway; where there are none, those whose inputs exist.

    All of ``plans``, where they are independent parts, which wait for nothing of each other.
    """
    if len(plans) == 1 or len(_independent(plans)) > 1:
        return plans
    before = _ancestors(plans)
    for end in range(1, len(plans)):
        first, rest = plans[:end], plans[end:]
        ids = {plan.call.id for plan in first}
        if all(ids <= before[plan.call.id] for plan in rest):
            return first
    return [plan for plan in plans if not before[plan.call.id]]


def _ancestors(plans: Sequence[CallPlan]) -> Mapping[str, frozenset[str]]:
    """Call -> the calls among these that must have ended before it."""
    found: dict[str, frozenset[str]] = {}
    for plan in plans:
        direct = [producer for producer in plan.producers if producer in found]
        found[plan.call.id] = frozenset(direct).union(*(found[producer] for producer in direct))
    return found


def _independent(plans: Sequence[CallPlan]) -> list[list[CallPlan]]:
    """The calls in parts between which there is no edge, each in the order given."""
    parts: list[list[CallPlan]] = []
    for plan in plans:
        joined = [part for part in parts if any(other.call.id in plan.producers for other in part)]
        parts = [part for part in parts if part not in joined]
        parts.append([*(other for part in joined for other in part), plan])
    place = {plan.call.id: number for number, plan in enumerate(plans)}
    for part in parts:
        part.sort(key=lambda plan: place[plan.call.id])
    return sorted(parts, key=lambda part: place[part[0].call.id])
