"""Predictions for cases that can be verified on paper."""

from dataclasses import replace

import pytest

from mopar.planning import PlanShape, Size, Slice, chain_shape, evaluate, plan_unsplit, slice_memory_mib, with_headroom
from mopar.planning.model.prices import bought_mib, round_up
from mopar.planning.model.times import beside_ms
from mopar.planning.numbers import MIB as MIB_BYTES
from mopar.types import (
    REQUEST,
    Call,
    CallInput,
    Function,
    Graph,
    LayerProfile,
    Source,
    WeightProfile,
    WholeProfile,
)
from tests.profiles import COUPLED, FREE, MIB, PAPER, chain, make_profile, tensor


def test_a_chain_of_two() -> None:
    """4 layers of 4 ms; hop 0.2 ms, half of it inside; 0.1 ms per MiB that crosses, half in either function."""
    profile = chain(4)
    shape = chain_shape(profile, [Slice(0, 2, Size(128, 1.0, 1)), Slice(2, 4, Size(256, 1.0, 1))])
    got = evaluate(profile, PAPER, FREE, shape)
    # A call computes 8 ms, reads 1 MiB and produces 1 MiB.
    inside = 8 + 0.1 + 2 * 0.05
    assert got.latency_ms == pytest.approx(2 * (inside + 0.1))
    assert got.gb_s_per_request == pytest.approx((128 + 256) / 1024 * inside / 1000)
    assert got.cost_per_million_usd == pytest.approx(got.gb_s_per_request * PAPER.gib_s_usd * 1e6)
    assert got.compute_gb_s == pytest.approx((128 + 256) / 1024 * 8 / 1000)
    assert got.communication_gb_s == pytest.approx(got.gb_s_per_request - got.compute_gb_s)
    # Each layer needs 8 MiB of weights and 2 MiB of tensors while it runs.
    assert got.efficiency == pytest.approx(10 / 1024 * 16 / 1000 / got.gb_s_per_request)
    assert [function.billed_ms for function in got.functions] == pytest.approx([inside, inside])


def test_a_quota_slows_long_calls_and_a_second_cpu_helps_a_second_thread() -> None:
    """Half a CPU is 10 ms in 20: a call of 8 ms fits, one of 400 ms takes nearly twice as long."""
    for latency_ms, slower in ((2.0, 1.0), (100.0, 2.0)):
        profile = chain(4, latency_ms=latency_ms)
        layers = tuple(replace(layer, two_threads=0.6) for layer in profile.layers)
        sizes = Size(128, 0.5, 1), Size(128, 1.0, 1), Size(128, 2.0, 1), Size(128, 2.0, 2)
        shapes = [chain_shape(profile, [Slice(0, 4, size)]) for size in sizes]
        book = replace(PAPER, quota_period_ms=20.0)
        found = [evaluate(replace(profile, layers=layers), book, FREE, shape) for shape in shapes]
        half, one, idle, both = (figures.functions[0].billed_ms for figures in found)
        assert half == pytest.approx(slower * one, rel=0.03)
        assert idle == one
        assert both == pytest.approx(0.6 * one, rel=0.03)
        assert found[0].efficiency == pytest.approx(found[1].efficiency)


def test_parts_on_one_machine_slow_each_other_down() -> None:
    """Like two threads that do not quite halve a layer; a layer that is not divided, like the others' average."""
    profile = chain(3, latency_ms=10.0)
    threads = (0.6, 0.5, 1.0)
    layers = tuple(replace(layer, two_threads=r) for layer, r in zip(profile.layers, threads, strict=True))
    profile = replace(profile, layers=layers)
    assert beside_ms(profile, shares_host=True) == pytest.approx([0, 12, 22, 33])
    assert beside_ms(profile, shares_host=False) == pytest.approx([0, 10, 20, 30])


def test_fees_rounding_and_cold_starts() -> None:
    profile = chain(2)
    book = replace(COUPLED, mib_per_vcpu=None, vcpu_s_usd=1e-5, billing_unit_ms=100.0, cold_rate=0.5)
    got = evaluate(profile, book, FREE, chain_shape(profile, [Slice(0, 2, Size(512, 1.0, 1))]))
    per_ms = (0.5 * book.gib_s_usd + 1e-5) / 1000
    # 8.2 ms of work are billed as 100 ms; the whole model takes 300 ms to load.
    assert got.cost_per_million_usd == pytest.approx((per_ms * (100 + 0.5 * 300) + 2e-7) * 1e6)
    free_init = evaluate(
        profile, replace(book, init_billed=False), FREE, chain_shape(profile, [Slice(0, 2, Size(512, 1.0, 1))])
    )
    assert free_init.cost_per_million_usd == pytest.approx((per_ms * 100 + 2e-7) * 1e6)


def test_independent_calls_run_side_by_side() -> None:
    """A diamond of calls: the latency is the longest path, the price is the sum."""
    profile = chain(4)
    graphs = tuple(
        Graph(f"g{n}", n, n + 1, ("x",) if n == 0 else ("t0",) if n < 3 else ("t1", "t2"), (f"t{n}",)) for n in range(4)
    )
    sources = [(REQUEST, "x")], [("c0", "t0")], [("c0", "t0")], [("c1", "t1"), ("c2", "t2")]
    calls = tuple(
        Call(f"c{n}", f"f{n}", f"g{n}", tuple(CallInput(t, (Source(p, t),)) for p, t in sources[n]), (f"t{n}",))
        for n in range(4)
    )
    functions = tuple(Function(f"f{n}", (f"g{n}",), 128, 1.0) for n in range(4))
    got = evaluate(profile, PAPER, FREE, PlanShape(functions, graphs, calls, (("t3", "c3"),)))
    each = 4 + 0.2 + 2 * 0.05
    assert got.latency_ms == pytest.approx(2 * each + each + 0.05)
    assert len(got.functions) == 4


def test_layer_times_are_stretched_to_the_whole() -> None:
    profile = chain(2)
    slower = replace(profile, whole=replace(profile.whole, latency_ms=10.0, unattributed_ms=2.0))
    assert plan_unsplit(slower, PAPER, FREE).predicted.latency_ms == pytest.approx(10 + 0.2 + 0.1)


def test_the_whole_model_predicts_its_measurement_and_a_slice_less() -> None:
    profile = chain(4)
    assert slice_memory_mib(profile, 0, 4) == pytest.approx(profile.whole.memory_mib)
    assert profile.runtime.base_mib < slice_memory_mib(profile, 1, 2) < slice_memory_mib(profile, 1, 3)


def test_boundary_and_passing_tensors() -> None:
    """Layer 1 alone holds its input, its output and its workspace, not the skip tensor that passes over it."""
    tensors = (
        tensor("x", 4 * MIB, -1, (0,)),
        tensor("t0", 8 * MIB, 0, (1,)),
        tensor("skip", 16 * MIB, 0, (2,)),
        tensor("t1", 2 * MIB, 1, (2,)),
        tensor("t2", 4 * MIB, 2, (3,)),
    )
    live = [28 * MIB, 26 * MIB, 22 * MIB]
    layers = tuple(LayerProfile(n, (f"n{n}",), ("Conv",), ("w",), 1.0, 0.0, 0, live[n]) for n in range(3))
    weights = (WeightProfile("w", 10 * MIB, 10 * MIB, 10 * MIB),)
    # The whole holds most in layer 1: 26 MiB that are live, x (which stays), t2 (bound from the start) and the weight.
    profile = make_profile(layers, tensors, weights, (1, 2), whole=WholeProfile(3.0, 0.0, 45.0 + 44.0, 250.0, 0.0))
    assert slice_memory_mib(profile, 0, 3) == pytest.approx(45 + 44)
    assert slice_memory_mib(profile, 1, 2) == pytest.approx(45 + 10 + 10)
    # t0 stays in shared memory while layer 2 writes, t2 is allocated while layer 1 does.
    assert slice_memory_mib(profile, 1, 3) == pytest.approx(45 + 10 + 22 + 8)
    # The shared weight counts once.
    assert slice_memory_mib(profile, 0, 2) == pytest.approx(45 + 10 + 28 + 2)
    assert MIB_BYTES == MIB


@pytest.mark.parametrize(("memory_mib", "want"), [(10.0, 14.0), (80.0, 84.0), (100.0, 105.0), (1000.0, 1050.0)])
def test_headroom(memory_mib: float, want: float) -> None:
    assert with_headroom(memory_mib) == pytest.approx(want)


def test_sizes_and_durations_round_up_but_not_past_a_hair() -> None:
    assert bought_mib(COUPLED, 10.0) == 64
    assert bought_mib(COUPLED, 64.5) == 96
    assert bought_mib(COUPLED, 96.0 + 1e-10) == 96
    assert round_up(2.0000000001, 1.0) == 2
    assert round_up(2.1, 1.0) == 3
    assert round_up(2.1, 0.0) == 2.1
