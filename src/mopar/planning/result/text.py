"""A plan's one-line text form, for logs and comparisons: ``plan_text`` writes it, ``parse_plan`` reads it back.

    resnet50@1f2e3d4c local/paper cost slo=34.5ms: 0-17 45MiB | 18-36 63MiB 0.5cpu | 37-52 86MiB 2cpu 2t

Each slice of a chain: its layers, first and last, and its size; one CPU and one thread are omitted. A slice that
several functions compute in parallel gives their number and their steps, without runs that the first function computes
alone: ``0-15 36MiB x2[0-7,8-15]``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mopar.planning.model.shape import Size
from mopar.planning.result.chain import Slice
from mopar.types import Function, Graph, Plan, UsageError

_HASH = 8
_HEAD = re.compile(r"(?P<model>\S+)@(?P<graph>[0-9a-f]*) (?P<platform>\S+)/(?P<prices>\S+) (?P<objective>\S+?)"
                   r"(?: slo=(?P<slo>[0-9.e+-]+)ms)?: (?P<functions>.+)")  # fmt: skip
_FUNCTION = re.compile(
    r"(?P<first>\d+)-(?P<last>\d+) (?P<memory>\d+)MiB(?: (?P<cpu>[0-9.e+-]+)cpu)?(?: (?P<threads>\d+)t)?"
    r"(?: x(?P<parts>\d+)\[(?P<steps>[0-9,-]+)\])?"
)
_RUN = re.compile(r"(?P<first>\d+)(?:-(?P<last>\d+))?")


@dataclass(frozen=True, slots=True)
class PlanText:
    """Contents of the text form of a plan; ``graph`` is the beginning of its ``graph_sha256``."""

    model: str
    graph: str
    platform: str
    prices: str
    objective: str
    slo_ms: float | None
    slices: tuple[Slice, ...]
    steps: tuple[tuple[tuple[int, int], ...], ...] = ()


def plan_text(plan: Plan) -> str:
    """A chain of slices in one line."""
    parts = [_slice_text(plan, functions) for functions in _side_by_side(plan)]
    slo = "" if plan.slo_ms is None else f" slo={plan.slo_ms!r}ms"
    head = f"{plan.model}@{plan.graph_sha256[:_HASH]} {plan.platform}/{plan.prices} {plan.objective}{slo}"
    return f"{head}: {' | '.join(parts)}"


def _side_by_side(plan: Plan) -> list[list[Function]]:
    """The functions of each slice: those that hold parts of the same layers."""
    graphs = {graph.id: graph for graph in plan.graphs}
    slices: list[list[Function]] = []
    reached = -1
    for function in plan.functions:
        held = [graphs[graph] for graph in function.graphs]
        if min(graph.start for graph in held) < reached:
            slices[-1].append(function)
        else:
            slices.append([function])
        reached = max(reached, *(graph.stop for graph in held))
    return slices


def _slice_text(plan: Plan, functions: Sequence[Function]) -> str:
    held = {graph for function in functions for graph in function.graphs}
    graphs = [graph for graph in plan.graphs if graph.id in held]
    start, stop = min(graph.start for graph in graphs), max(graph.stop for graph in graphs)
    size = functions[0]
    cpu = "" if size.cpu == 1 else f" {size.cpu!r}cpu"
    threads = "" if size.threads == 1 else f" {size.threads}t"
    steps = dict.fromkeys((graph.start, graph.stop) for graph in graphs if graph.part is not None)
    ran = ",".join(f"{first}-{last - 1}" for first, last in steps)
    side_by_side = f" x{len(functions)}[{ran}]" if steps else ""
    return f"{start}-{stop - 1} {size.memory_mib}MiB{cpu}{threads}{side_by_side}"


def parse_plan(text: str) -> PlanText:
    """Read a line that ``plan_text`` wrote.

    Raises:
        UsageError: it is no such line; names the part.
    """
    head = _HEAD.fullmatch(text.strip())
    if head is None:
        raise UsageError(f"no plan: {text.strip()[:80]!r}; the form is MODEL@HASH PLATFORM/PRICES OBJECTIVE: FUNCTIONS")
    slo = head["slo"]
    found = [_slice(part) for part in head["functions"].split(" | ")]
    return PlanText(
        model=head["model"],
        graph=head["graph"],
        platform=head["platform"],
        prices=head["prices"],
        objective=head["objective"],
        slo_ms=None if slo is None else float(slo),
        slices=tuple(piece for piece, _ in found),
        steps=tuple(steps for _, steps in found),
    )


def layers_text(graph: Graph) -> str:
    """The layers of a graph: ``4-6``, or ``7`` where it is one."""
    return str(graph.start) if graph.stop == graph.start + 1 else f"{graph.start}-{graph.stop - 1}"


def _slice(text: str) -> tuple[Slice, tuple[tuple[int, int], ...]]:
    found = _FUNCTION.fullmatch(text)
    if found is None:
        raise UsageError(
            f"no slice of a plan: {text!r}; the form is FIRST-LAST MEMORYMiB [CPUcpu] [THREADSt] [xPARTS[STEPS]]"
        )
    size = Size(int(found["memory"]), float(found["cpu"] or 1.0), int(found["threads"] or 1), int(found["parts"] or 1))
    steps = []
    for run in filter(None, (found["steps"] or "").split(",")):
        ends = _RUN.fullmatch(run)
        if ends is None:
            raise UsageError(f"no step of a slice: {run!r}; the form is FIRST-LAST")
        steps.append((int(ends["first"]), int(ends["last"] or ends["first"]) + 1))
    return Slice(int(found["first"]), int(found["last"]) + 1, size), tuple(steps)
