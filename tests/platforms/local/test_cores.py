"""Parts of a slice run on separate cores."""

import pytest

from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.platforms.local.cores import cores_of_parts
from tests.profiles import in_halves


@pytest.mark.parametrize("cores", [{0, 1}, {3, 4, 5, 9}])
def test_parts_of_a_slice_share_no_core_and_use_all(cores: set[int]) -> None:
    plan = make_plan(in_halves(4), PlanOptions(objective="latency", slo_ms=None))
    found = cores_of_parts(plan, cores)
    index = {graph.id: graph.part.index for graph in plan.graphs if graph.part is not None}
    halves = {function.name: index[function.graphs[0]] for function in plan.functions if function.graphs[0] in index}
    assert set(found) == set(halves)
    sides = {half: found[name] for name, half in halves.items()}
    assert set(sides[0]).isdisjoint(sides[1])
    assert {*sides[0], *sides[1]} == cores


def test_on_one_core_nothing_is_pinned() -> None:
    assert cores_of_parts(make_plan(in_halves(4), PlanOptions(objective="latency", slo_ms=None)), {7}) == {}
