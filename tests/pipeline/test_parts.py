"""The option for the largest number of functions that compute a slice in parallel."""

from mopar.pipeline.stages import PlanOptions, make_front, make_plan
from tests.profiles import in_halves


def test_parts_are_those_of_the_profile_unless_fewer_are_asked_for() -> None:
    profile = in_halves(4)
    free = PlanOptions(objective="latency", slo_ms=None)
    one = PlanOptions(objective="latency", slo_ms=None, max_parts=1)
    assert {graph.part.count for graph in make_plan(profile, free).graphs if graph.part} == {2}
    assert not any(graph.part for graph in make_plan(profile, one).graphs)
    fastest = [min(point.latency_ms for point in make_front(profile, options)) for options in (free, one)]
    assert fastest[0] < fastest[1]
