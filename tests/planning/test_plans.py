"""Verdicts, baselines, limits, and plans from files."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings

from mopar.planning import check_plan, plan, plan_cuts, plan_uniform, plan_unsplit
from mopar.types import REQUEST, InfeasibleError, Plan, PlatformLimits, PriceBook, Profile, UsageError
from tests.planning.strategies import books, limits, profiles
from tests.profiles import COUPLED, FREE, MIB, PAPER, chain, make_profile, tensor


def test_a_heavy_model_is_split_and_a_light_one_is_not() -> None:
    split = plan(chain(6), PAPER, FREE)
    assert split.verdict == "split"
    assert split.predicted.cost_per_million_usd < split.unsplit.cost_per_million_usd
    assert split.predicted.latency_ms <= 1.03 * split.unsplit.latency_ms
    dear = replace(FREE, shares_host=False, hop_ms=500.0)
    whole = plan(chain(6), PAPER, dear, slo_ms=None)
    assert whole.verdict == "unsplit"
    assert whole.predicted == whole.unsplit
    assert "best split has 2 functions" in whole.reason


def test_names_and_sources_of_a_skip_connection() -> None:
    """t0 is read by slices 1 and 2, from the call that made it; the model's second output is its own input."""
    profile = chain(3)
    tensors = (
        tensor("x", MIB, -1, (0, 3)),
        tensor("t0", MIB, 0, (1, 2)),
        tensor("t1", MIB, 1, (2,)),
        tensor("t2", MIB, 2, (3,)),
    )
    skipping = make_profile(profile.layers, tensors, profile.weights, (1, 2))
    got = plan_cuts(skipping, PAPER, FREE, [1, 2])
    assert [function.name for function in got.functions] == ["f0", "f1", "f2"]
    assert [(graph.id, graph.start, graph.stop) for graph in got.graphs] == [("g0", 0, 1), ("g1", 1, 2), ("g2", 2, 3)]
    assert [[(item.tensor, item.sources[0].producer) for item in call.inputs] for call in got.calls] == [
        [("x", REQUEST)],
        [("t0", "c0")],
        [("t0", "c0"), ("t1", "c1")],
    ]
    assert got.outputs == (("x", REQUEST), ("t2", "c2"))
    check_plan(got, 3)


def test_uniform_slices_and_fewer_than_asked_for() -> None:
    got = plan_uniform(chain(9), PAPER, FREE, 3)
    assert [graph.stop for graph in got.graphs] == [3, 6, 9]
    assert got.objective == "uniform"
    few = plan_uniform(chain(2), PAPER, FREE, 5)
    assert len(few.functions) == 2
    assert "5 were asked for" in few.reason
    with pytest.raises(UsageError, match="at least 1"):
        plan_uniform(chain(2), PAPER, FREE, 0)


def test_given_cuts_leave_only_sizes_to_choose() -> None:
    got = plan_cuts(chain(5), COUPLED, FREE, [4, 1, 4])
    assert [graph.stop for graph in got.graphs] == [1, 4, 5]
    assert all(function.cpu == function.memory_mib / 300 for function in got.functions)
    with pytest.raises(UsageError, match="7 is no cut position: the nearest are 1, 2, 3, 4"):
        plan_cuts(chain(5), PAPER, FREE, [7])


def test_balanced_lies_between() -> None:
    profile = chain(12)
    cheap = plan(profile, PAPER, FREE, slo_ms=None)
    fast = plan(profile, PAPER, FREE, objective="latency")
    between = plan(profile, PAPER, FREE, objective="balanced")
    assert fast.predicted.latency_ms < between.predicted.latency_ms < cheap.predicted.latency_ms
    assert (
        cheap.predicted.cost_per_million_usd
        < between.predicted.cost_per_million_usd
        < fast.predicted.cost_per_million_usd
    )


@pytest.mark.parametrize(
    ("question", "limit", "value"),
    [
        (lambda p: plan(p, PAPER, FREE, slo_ms=1.0), "slo_ms", 1.0),
        (lambda p: plan(p, PAPER, replace(FREE, payload_bytes=MIB - 4)), "payload_bytes", MIB - 4),
        (lambda p: plan(p, PAPER, replace(FREE, package_bytes=7 * MIB)), "package_bytes", 7 * MIB),
        (lambda p: plan(p, replace(PAPER, memory_max_mib=60), FREE), "memory_mib", 60),
        (lambda p: plan(p, PAPER, replace(FREE, package_bytes=8 * MIB, max_functions=3)), "max_functions", 3),
        (lambda p: plan_cuts(p, PAPER, replace(FREE, max_functions=1), [2]), "max_functions", 1),
        (lambda p: plan_unsplit(p, PAPER, replace(FREE, package_bytes=8 * MIB)), "package_bytes", 8 * MIB),
        (lambda p: plan_uniform(p, PAPER, FREE, 2, slo_ms=16.0), "slo_ms", 16.0),
    ],
)
def test_infeasible_names_limit_value_and_nearest(
    question: Callable[[Profile], Plan], limit: str, value: float
) -> None:
    with pytest.raises(InfeasibleError) as caught:
        question(chain(4))
    assert (caught.value.limit, caught.value.value) == (limit, value)
    assert caught.value.nearest is not None
    assert caught.value.nearest > value


def test_the_nearest_value_is_enough() -> None:
    profile = chain(4)
    tight = replace(FREE, package_bytes=7 * MIB, payload_bytes=MIB // 2)
    for _ in range(2):
        with pytest.raises(InfeasibleError) as caught:
            plan(profile, PAPER, tight, slo_ms=None)
        assert caught.value.nearest is not None
        nearest = int(caught.value.nearest)
        changed = {"package_bytes": tight.package_bytes, "payload_bytes": tight.payload_bytes}
        changed[caught.value.limit] = nearest
        tight = replace(tight, package_bytes=changed["package_bytes"], payload_bytes=changed["payload_bytes"])
    assert len(plan(profile, PAPER, tight, slo_ms=None).functions) == 4


def test_where_nothing_costs_anything_the_fastest_is_the_cheapest() -> None:
    free = replace(PAPER, gib_s_usd=0.0)
    got = plan(chain(6), free, FREE, slo_ms=None)
    assert got.verdict == "unsplit"
    assert got.predicted.cost_per_million_usd == 0


def test_forced_to_split_says_why() -> None:
    got = plan(chain(4), PAPER, replace(FREE, package_bytes=16 * MIB), slo_ms=None)
    assert got.verdict == "split"
    assert "package_bytes" in got.reason


@settings(max_examples=60)
@given(profiles(), books(), limits())
def test_loosening_a_limit_never_costs_more(profile: Profile, book: PriceBook, limit: PlatformLimits) -> None:
    slo_ms = 1.2 * plan_unsplit(profile, replace(book, memory_max_mib=4096), FREE).predicted.latency_ms
    try:
        tight = plan(profile, book, limit, slo_ms=slo_ms, exact=True)
    except InfeasibleError:
        return
    most = None if limit.max_functions is None else limit.max_functions + 1
    looser = [
        plan(profile, book, limit, slo_ms=2 * slo_ms, exact=True),
        plan(profile, book, limit, slo_ms=None, exact=True),
        plan(profile, book, replace(limit, payload_bytes=None), slo_ms=slo_ms, exact=True),
        plan(profile, book, replace(limit, package_bytes=None), slo_ms=slo_ms, exact=True),
        plan(profile, book, limit, slo_ms=slo_ms, max_functions=most, exact=True),
    ]
    for loose in looser:
        assert loose.predicted.cost_per_million_usd <= tight.predicted.cost_per_million_usd * (1 + 1e-6)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (lambda p: plan(p, PAPER, FREE, objective="speed"), "cost, latency, balanced"),
        (lambda p: plan(p, PAPER, FREE, slo_ms=-1.0), "over 0"),
        (lambda p: plan(p, PAPER, FREE, slo_ms=float("nan")), "over 0"),
        (lambda p: plan(p, PAPER, FREE, max_functions=0), "at least 1"),
        (lambda p: plan(p, PAPER, FREE, cpu=0.0), "more than 0"),
        (lambda p: plan(p, COUPLED, FREE, cpu=1.0), "memory buys CPU"),
        (lambda p: plan(p, PAPER, FREE, headroom_share=-1.0), "headroom"),
    ],
)
def test_arguments_that_make_no_sense(question: Callable[[Profile], Plan], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        question(chain(2))


def _broken(got: Plan) -> dict[str, Plan]:
    first, second = got.calls
    graph = got.graphs[1]
    return {
        "start at": replace(got, graphs=(got.graphs[0], replace(graph, start=graph.start + 1))),
        "model has": replace(got, graphs=(got.graphs[0], replace(graph, stop=graph.stop - 1))),
        "not made by": replace(got, calls=(second, first)),
        "used 2 times": replace(got, functions=(got.functions[0], replace(got.functions[1], name="f0"))),
        "other tensors": replace(got, calls=(first, replace(second, outputs=("nothing",)))),
        "never called": replace(got, calls=(first,), outputs=()),
        "not in function": replace(got, calls=(first, replace(second, function="f0"))),
        "in no function": replace(got, functions=(got.functions[0],)),
        "over 0": replace(got, functions=(got.functions[0], replace(got.functions[1], memory_mib=0))),
        "output": replace(got, outputs=(("t3", "c0"),)),
    }


@pytest.mark.parametrize("message", list(_broken(plan_cuts(chain(4), PAPER, FREE, [2]))))
def test_a_broken_plan_is_refused(message: str) -> None:
    good = plan_cuts(chain(4), PAPER, FREE, [2])
    check_plan(good, 4)
    with pytest.raises(UsageError, match=message):
        check_plan(_broken(good)[message], 4)
