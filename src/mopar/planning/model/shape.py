"""Sizes of functions, and a plan's functions, graphs and calls without its figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mopar.types import Call, Function, Graph, Plan, Share


@dataclass(frozen=True, slots=True)
class Size:
    """Resources of a function; ``parts`` functions, where a slice is computed in parallel."""

    memory_mib: int
    cpu: float
    threads: int
    parts: int = 1


@dataclass(frozen=True, slots=True)
class PlanShape:
    """The input of ``evaluate``: a plan without figures. Calls are listed in an order in which they can run."""

    functions: tuple[Function, ...]
    graphs: tuple[Graph, ...]
    calls: tuple[Call, ...]
    outputs: tuple[tuple[str, str], ...]


def shape_of(plan: Plan) -> PlanShape:
    """The shape of a plan."""
    return PlanShape(plan.functions, plan.graphs, plan.calls, plan.outputs)


def call_shares(graphs: Mapping[str, Graph], calls: Sequence[Call]) -> dict[tuple[str, str], Share]:
    """The share of each tensor that each call produces, by call and tensor."""
    found = {}
    for call in calls:
        part = graphs[call.graph].part
        shares = {share.tensor: share for share in part.outputs} if part else {}
        found.update({(call.id, name): shares.get(name, Share(name)) for name in call.outputs})
    return found
