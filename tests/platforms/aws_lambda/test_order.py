"""Plans as nested sequences and branches: every edge kept, and nothing waits that need not."""

from collections.abc import Mapping, Sequence
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from mopar.bundle.call_plans import CallPlan
from mopar.platforms.aws_lambda.order import Parallel, Sequential, ordered
from mopar.types import Call, GraphEntry

Edges = Mapping[int, frozenset[int]]
"""Call -> the calls that it reads from, all of them earlier ones."""


def plans_of(edges: Edges) -> list[CallPlan]:
    graph = cast("GraphEntry", None)  # an order does not look at graphs
    return [
        CallPlan(
            call=Call(f"c{call}", "f", "g", (), ()),
            graph=graph,
            index=0,
            sources=tuple((f"t{producer}", f"c{producer}") for producer in sorted(producers)),
            taken=(None,) * len(producers),
            regions=(),
        )
        for call, producers in edges.items()
    ]


def ends_of(order: Sequential, lasts: Sequence[int], start: int = 0) -> dict[str, int]:
    """When each call ends, in an execution where call n lasts ``lasts[n]`` and every edge is asserted."""
    ended: dict[str, int] = {}

    def run(sequence: Sequential, now: int) -> int:
        for stage in sequence.stages:
            if isinstance(stage, Parallel):
                now = max(run(branch, now) for branch in stage.branches)
                continue
            assert all(ended.get(producer, now + 1) <= now for producer in stage.producers)
            now += lasts[int(stage.call.id[1:])]
            ended[stage.call.id] = now
        return now

    run(order, start)
    return ended


def longest_path(edges: Edges, lasts: Sequence[int]) -> int:
    ends: dict[int, int] = {}
    for call, producers in edges.items():
        ends[call] = max((ends[producer] for producer in producers), default=0) + lasts[call]
    return max(ends.values())


@st.composite
def any_edges(draw: st.DrawFn) -> Edges:
    count = draw(st.integers(1, 9))
    return {call: draw(st.frozensets(st.integers(0, call - 1))) if call else frozenset() for call in range(count)}


@st.composite
def nested_edges(draw: st.DrawFn) -> Edges:
    """Of calls that are nested in sequences and branches."""
    edges: dict[int, frozenset[int]] = {}

    def add(depth: int, after: frozenset[int]) -> frozenset[int]:
        """Add calls that start after others; those that end them."""
        kind = draw(st.sampled_from(["call", "sequence", "branches"])) if depth else "call"
        if kind == "call":
            call = len(edges)
            edges[call] = after
            return frozenset({call})
        if kind == "sequence":
            for _ in range(draw(st.integers(2, 3))):
                after = add(depth - 1, after)
            return after
        return frozenset().union(*(add(depth - 1, after) for _ in range(draw(st.integers(2, 3)))))

    add(3, frozenset())
    return edges


@given(any_edges())
def test_calls_that_last_equally_long_end_as_early_as_edges_allow(edges: Edges) -> None:
    ends = ends_of(ordered(plans_of(edges)), [1] * len(edges))
    assert len(ends) == len(edges)
    assert max(ends.values()) == longest_path(edges, [1] * len(edges))


@given(nested_edges(), st.data())
def test_nested_calls_end_as_early_as_edges_allow(edges: Edges, data: st.DataObject) -> None:
    lasts = data.draw(st.lists(st.integers(1, 9), min_size=len(edges), max_size=len(edges)))
    ends = ends_of(ordered(plans_of(edges)), lasts)
    assert max(ends.values()) == longest_path(edges, lasts)
