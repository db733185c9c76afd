import statistics
from dataclasses import replace

import pytest

from mopar.engine.kernels import Kernel
from mopar.engine.timing.job import RunTime
from mopar.engine.trace import KernelEvent, Trace
from mopar.profiling.engine_runs import EngineRuns, undisturbed_rounds
from mopar.profiling.layer_times import layer_times, two_threads_ratios, undisturbed_samples
from mopar.profiling.profiler_cost import ProfilerCost, profiler_cost


def _kernel(node: int, duration_us: int, inner: int = 0) -> KernelEvent:
    return KernelEvent(node, f"k{node}", "Op", 0, duration_us, (), (), inner)


KERNELS = (
    Kernel("reorder", "ReorderInput", ("conv",), layout_only=True),
    Kernel("conv_nchwc", "Conv", ("conv", "relu")),
    Kernel("folded", "Shape", ()),
    Kernel("gemm", "Gemm", ("matmul", "add")),
)
FREE = ProfilerCost(0.0, 0.0)
LAYERS = (("conv", "relu"), ("matmul", "add"), ("view",))


def _runs(*runs: tuple[KernelEvent, ...], plain_ms: float = 4.0, profiled_ms: float = 4.0) -> EngineRuns:
    count = len(runs)
    return EngineRuns(Trace(runs), (profiled_ms,) * count, (plain_ms,) * count, (0.0,) * count, 0)


def test_a_layer_takes_the_median_over_runs_of_the_sum_of_its_kernels() -> None:
    runs = [(_kernel(0, 100), _kernel(1, 900 + i), _kernel(2, 50), _kernel(3, 2000 - i)) for i in (0, 10, 500)]
    times = layer_times(_runs(*runs), KERNELS, LAYERS, FREE)
    # Each kernel took up to a microsecond more than the engine's resolution shows.
    assert times.latency_ms == pytest.approx((1.011, 1.9905, 0.0))
    assert times.layout_ms == pytest.approx((0.1005, 0.0, 0.0))
    assert times.unattributed_ms == pytest.approx(4.0 - 3.0015)


def test_a_kernel_that_the_session_put_in_itself_stays_unattributed() -> None:
    times = layer_times(_runs((_kernel(1, 1000), _kernel(17, 3000))), KERNELS, LAYERS, FREE)
    assert sum(times.latency_ms) == 1.0005


def test_the_profilers_own_work_inside_a_body_is_taken_off_its_node() -> None:
    """Ten events and 0.02 ms more with the profiler than without: 0.002 ms each, eight of them inside."""
    times = layer_times(_runs((_kernel(1, 1000, 8), _kernel(3, 500)), profiled_ms=4.02), KERNELS, LAYERS, FREE)
    assert list(times.latency_ms) == pytest.approx([1.0005 - 8 * 0.002, 0.5005, 0.0])


def test_the_profilers_own_work_on_a_kernel_is_taken_off_by_its_inputs() -> None:
    shape = ("float", (1, 8))
    two_inputs = replace(_kernel(1, 9), inputs=(shape, shape))
    times = layer_times(_runs((two_inputs, _kernel(3, 0))), KERNELS, LAYERS, ProfilerCost(0.001, 0.0002))
    assert list(times.latency_ms) == pytest.approx([0.0095 - 0.0014, 0.0, 0.0])


def test_the_profilers_own_work_is_measured_and_small() -> None:
    cost = profiler_cost()
    assert 0.0 < cost.kernel_ms + 2 * cost.input_ms < 0.05


def test_rounds_in_which_others_had_the_core_are_left_out() -> None:
    quiet, busy = RunTime(10.0, 0.01), RunTime(14.0, 4.0)
    rounds = [(quiet, quiet)] * 8 + [(busy, quiet)] * 3 + [(quiet, busy)]
    assert undisturbed_rounds(rounds) == tuple(range(8))


def test_among_disturbed_rounds_the_least_disturbed_are_kept() -> None:
    rounds = [(RunTime(10.0, lost), RunTime(10.0, 0.0)) for lost in (5.0, 1.0, 4.0, 0.5, 3.0, 0.2, 2.0, 0.3, 6.0)]
    assert undisturbed_rounds(rounds) == (1, 2, 3, 4, 5, 6, 7)


def test_an_interruption_is_told_by_a_sample_that_stands_out_in_a_run_that_had_one() -> None:
    samples, lost = [1.0, 1.0, 1.02, 3.0, 1.3], [0.0, 0.2, 0.2, 0.2, 0.0]
    assert undisturbed_samples(samples, lost) == [1.0, 1.0, 1.02, 1.3]
    assert statistics.median(undisturbed_samples(samples, [0.0] * 5)) == 1.02


def test_times_with_two_threads_add_up_to_the_whole_with_two_threads() -> None:
    """One layer is faster, one is not, one takes no time; unattributed time is distributed in proportion."""
    one = layer_times(_runs((_kernel(1, 1000), _kernel(3, 2000)), plain_ms=3.3, profiled_ms=3.3), KERNELS, LAYERS, FREE)
    two = layer_times(_runs((_kernel(1, 500), _kernel(3, 2000)), plain_ms=3.0, profiled_ms=3.0), KERNELS, LAYERS, FREE)
    first, second, third = two_threads_ratios(one, two)
    with_two_ms = first * one.latency_ms[0] + second * one.latency_ms[1]
    assert with_two_ms / sum(one.latency_ms) == pytest.approx(3.0 / 3.3)
    assert (first / second, third / second) == pytest.approx((0.5, 1.0), rel=2e-3)


def test_of_layers_that_take_no_time_nothing_is_said_but_that_they_stay() -> None:
    still = layer_times(_runs(()), KERNELS, LAYERS, FREE)
    assert two_threads_ratios(still, still) == (1.0, 1.0, 1.0)


def test_a_gain_within_the_noise_is_none() -> None:
    one = layer_times(_runs((_kernel(1, 1000), _kernel(3, 2000)), plain_ms=3.0, profiled_ms=3.0), KERNELS, LAYERS, FREE)
    two = layer_times(_runs((_kernel(1, 800), _kernel(3, 2000)), plain_ms=2.8, profiled_ms=2.8), KERNELS, LAYERS, FREE)
    assert two_threads_ratios(one, two)[0] == pytest.approx(0.8, rel=1e-2)
    assert two_threads_ratios(one, replace(two, whole_spread_ms=0.25)) == pytest.approx((1.0, 1.0, 1.0), rel=1e-2)
