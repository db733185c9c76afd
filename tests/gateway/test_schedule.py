"""Calls that are started together never block each other."""

from collections.abc import Collection

from hypothesis import given
from hypothesis import strategies as st

from mopar.bundle.call_plans import CallPlan
from mopar.gateway.schedule import Schedule, Unit, mutual_functions
from mopar.types import Call, EngineOptions, GraphEntry

GRAPH = GraphEntry("g", "f", (), (), (), EngineOptions(), None)


def plan(number: int, function: int, producers: Collection[int]) -> CallPlan:
    call = Call(f"c{number}", f"f{function}", "g", (), ())
    return CallPlan(call, GRAPH, 0, tuple((f"t{made}", f"c{made}") for made in producers), (None,) * len(producers), ())


@st.composite
def plans(draw: st.DrawFn) -> tuple[CallPlan, ...]:
    """Calls of a few functions, in an order in which they can run."""
    count, functions = draw(st.integers(1, 10)), draw(st.integers(1, 4))
    return tuple(
        plan(number, draw(st.integers(0, functions - 1)), draw(st.sets(st.integers(0, number - 1))) if number else ())
        for number in range(count)
    )


def order_of(schedule: Schedule) -> list[Unit]:
    """The units as they become ready."""
    missing, ended = dict(schedule.awaited), []
    ready = [unit for unit, count in missing.items() if count == 0]
    while ready:
        ended.append(ready.pop())
        for unit in schedule.dependents[ended[-1]]:
            missing[unit] -= 1
            ready += [unit] * (missing[unit] == 0)
    return ended


def run_together(unit: Unit, done: set[str]) -> None:
    """Run each function's calls in order, as soon as their inputs allow; fail where all are blocked."""
    if unit.singly is None:
        for call in unit.calls:
            assert call.producers <= done, "a call reads what is not there"
            done.add(call.call.id)
        return
    queues: dict[str, list[int]] = {}
    for place, call in enumerate(unit.calls):
        queues.setdefault(call.call.function, []).append(place)
    ended: set[int] = set()
    while any(queues.values()):
        places = [queue[0] for queue in queues.values() if queue and ended >= set(unit.waits[queue[0]])]
        assert places, "all wait for each other"
        place = places[0]
        assert unit.calls[place].producers <= done, "what a call reads is not there when its waits are over"
        queues[unit.calls[place].call.function].pop(0)
        ended.add(place)
        done.add(unit.calls[place].call.id)


@given(plans())
def test_every_call_runs_once_and_after_what_it_reads(found: tuple[CallPlan, ...]) -> None:
    for schedule in (Schedule.of(found), Schedule.one_by_one(found), Schedule.of(found).chained(found)):
        done: set[str] = set()
        for unit in order_of(schedule):
            run_together(unit, done)
        assert done == {plan.call.id for plan in found}


@given(plans())
def test_functions_are_together_where_each_waits_for_the_other(found: tuple[CallPlan, ...]) -> None:
    """By the definition: the readers form paths between the functions in both directions."""
    makers = {plan.call.id: plan.call.function for plan in found}
    edges = {(plan.call.function, makers[made]) for plan in found for made in plan.producers}

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        todo = [start]
        while todo:
            name = todo.pop()
            todo += [read for reader, read in edges if reader == name and read not in seen]
            seen.update(read for reader, read in edges if reader == name)
        return seen

    got = mutual_functions(found)
    for name in makers.values():
        assert got[name] == {name} | {other for other in reached(name) if name in reached(other)}


def test_two_parts_are_one_unit_and_what_surrounds_them_is_not() -> None:
    """First and last function wait for the parts, or the parts for them, but not both; so do parts without exchange."""
    before, after = plan(0, 0, []), plan(5, 3, [3, 4])
    parts = [plan(1, 1, [0]), plan(2, 2, [0]), plan(3, 1, [1, 2]), plan(4, 2, [1, 2])]
    units = order_of(Schedule.of([before, *parts, after]))
    assert [unit.calls for unit in units] == [(before,), tuple(parts), (after,)]
    assert units[1].waits == ((), (), (1,), (0,))
    assert all(len(unit.calls) == 1 for unit in order_of(Schedule.of([before, *parts[:2], plan(3, 1, [1, 2])])))


def test_a_transport_without_groups_runs_calls_one_by_one() -> None:
    found = [plan(1, 1, []), plan(2, 2, []), plan(3, 1, [1, 2]), plan(4, 2, [1, 2])]
    assert [len(unit.calls) for unit in order_of(Schedule.one_by_one(found))] == [1] * 4


@given(plans())
def test_no_call_could_start_before_a_chain_ends(found: tuple[CallPlan, ...]) -> None:
    """So a request with chains takes no longer; and no function passes on to one that passes on to it."""
    firsts = {plan.call.function: place for place, plan in reversed(list(enumerate(found)))}
    for unit in order_of(Schedule.of(found).chained(found)):
        if not unit.chains:
            continue
        ids = [plan.call.id for plan in unit.calls]
        outside = [other for other in found if other.call.id not in ids]
        assert all(not other.producers & set(ids[:-1]) for other in outside)
        assert all(before in plan.producers for before, plan in zip(ids, unit.calls[1:], strict=False))
        ranks = [firsts[plan.call.function] for plan in unit.calls]
        assert ranks == sorted(set(ranks))


def test_a_model_in_slices_is_one_chain_whatever_its_tensors_skip() -> None:
    """What is read from outside is there at its beginning, for the chain and for its rests."""
    found = [plan(0, 0, []), plan(1, 1, [0]), plan(2, 2, [0, 1]), plan(3, 3, [2, 0])]
    (unit,) = order_of(Schedule.of(found).chained(found))
    assert unit.calls == tuple(found)
    assert [len(chain.plans) for chain in unit.chains] == [4, 3, 2]
    assert [chain.sources for chain in unit.chains] == [(), (("t0", "c0"),), (("t0", "c0"), ("t1", "c1"))]


def test_branches_and_functions_that_are_called_again_end_a_chain() -> None:
    towers = [plan(0, 0, []), plan(1, 1, [0]), plan(2, 2, [0]), plan(3, 3, [1]), plan(4, 4, [3, 2]), plan(5, 5, [4])]
    again = [plan(0, 0, []), plan(1, 1, [0]), plan(2, 0, [1]), plan(3, 2, [2])]
    for found, want in ((towers, {(0,), (1, 3), (2,), (4, 5)}), (again, {(0, 1), (2, 3)})):
        units = order_of(Schedule.one_by_one(found).chained(found))
        assert {tuple(int(call.call.id[1:]) for call in unit.calls) for unit in units} == want
