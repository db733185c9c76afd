"""Latency of every layer, from inside the whole optimised run."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mopar.engine.kernels import Kernel
from mopar.engine.timing.job import DISTURBED
from mopar.engine.trace import KernelEvent
from mopar.profiling.engine_runs import EngineRuns
from mopar.profiling.profiler_cost import ProfilerCost

# Above this it is noise: two to four microseconds were seen.
_MOST_PROFILER_MS = 0.005
_HIT_FACTOR, _HIT_MS = 1.1, 0.1
_PROFILER_STEP_MS = 0.001


@dataclass(frozen=True, slots=True)
class LayerTimes:
    """Where the time of a run goes. Nothing is rescaled.

    The profiler's own work inside each kernel is taken off, and from an If, Loop or Scan that on the kernels of its
    body; time in which another process had the core counts for none of them, as far as that shows.

    Attributes:
        latency_ms: of each layer, the median over runs of the sum of its kernels.
        spread_ms: of each layer, the interquartile range of the same samples.
        whole_ms: median latency of a run without the profiler.
        whole_spread_ms: its interquartile range.
        profiled_ms: median latency of a run with the profiler, interleaved with the others.
        layout_ms: of each layer, what part of it went into changing layouts (reorders, transposes and
            casts that the engine put in).
        runs: how many samples stand behind each median.
        disturbed: runs left out because another process had the core.
    """

    latency_ms: tuple[float, ...]
    spread_ms: tuple[float, ...]
    whole_ms: float
    whole_spread_ms: float
    profiled_ms: float
    layout_ms: tuple[float, ...]
    runs: int
    disturbed: int

    @property
    def unattributed_ms(self) -> float:
        """What no layer claims; below 0 where the layers' medians add up to more than the whole."""
        return self.whole_ms - sum(self.latency_ms)


def layer_times(
    runs: EngineRuns, kernels: Sequence[Kernel], layers: Sequence[Sequence[str]], cost: ProfilerCost
) -> LayerTimes:
    """Add up kernels by layer, run by run.

    Args:
        runs: timed runs of the optimised model.
        kernels: the optimised graph's outermost kernels, in the order of its nodes.
        layers: names of the canonical nodes of each layer.
        cost: of timing a kernel; it is taken off.
    """
    layer_of = layers_of_kernels(kernels, layers)
    overhead_ms = _profiler_ms_per_event(runs)
    samples = [[0.0] * len(layers) for _ in runs.trace.runs]
    layout = [[0.0] * len(layers) for _ in runs.trace.runs]
    for number, events in enumerate(runs.trace.runs):
        for event in events:
            # Nodes that the session itself put in at the end have no kernel: they stay unattributed.
            layer = layer_of.get(event.node)
            if layer is None:
                continue
            own_ms = cost.own_ms(event)
            samples[number][layer] += max(0.0, own_ms - event.inner * overhead_ms)
            if kernels[event.node].layout_only:
                layout[number][layer] += own_ms
    columns = [undisturbed_samples(column, runs.lost) for column in zip(*samples, strict=True)]
    return LayerTimes(
        latency_ms=tuple(statistics.median(column) for column in columns),
        spread_ms=tuple(interquartile_range(column) for column in columns),
        whole_ms=statistics.median(runs.plain_ms),
        whole_spread_ms=interquartile_range(runs.plain_ms),
        profiled_ms=statistics.median(runs.profiled_ms),
        layout_ms=tuple(statistics.median(column) for column in zip(*layout, strict=True)),
        runs=len(runs.plain_ms),
        disturbed=runs.disturbed,
    )


def two_threads_ratios(one: LayerTimes, two: LayerTimes) -> tuple[float, ...]:
    """Of each layer, its time with two threads over that with one.

    What no layer claims is spread over the layers by their share, with either number of threads, so the times with two
    threads add up to the whole's. Layers about as short as the profiler's step of a microsecond come out near 1. Where
    the whole gains less than its two interquartile ranges come to, no layer does: a second CPU is paid for.

    Args:
        one: measured with one thread.
        two: the same file with two.
    """
    added = zip(one.latency_ms, two.latency_ms, strict=True)
    ratios = [(twice + _PROFILER_STEP_MS) / (once + _PROFILER_STEP_MS) for once, twice in added]
    attributed = sum(ratio * once for ratio, once in zip(ratios, one.latency_ms, strict=True))
    if attributed <= 0 or one.whole_ms <= 0:
        return (1.0,) * len(ratios)
    scale = two.whole_ms / one.whole_ms * sum(one.latency_ms) / attributed
    gains = one.whole_ms - two.whole_ms > one.whole_spread_ms + two.whole_spread_ms
    return tuple(ratio * scale if gains else max(ratio * scale, 1.0) for ratio in ratios)


def undisturbed_samples(samples: Sequence[float], lost: Sequence[float]) -> list[float]:
    """A layer's samples without those in which, by the looks of it, another process had the core.

    How much of a run others took is known, but not in which layer. An interruption takes the better part of a
    millisecond: in a run that had one, a sample counts as hit where it lies 10% and 0.1 ms above the lower quartile.
    """
    if len(samples) < 2:
        return list(samples)
    most = _HIT_FACTOR * statistics.quantiles(samples, n=4)[0] + _HIT_MS
    return [sample for sample, share in zip(samples, lost, strict=True) if share <= DISTURBED or sample <= most]


def _profiler_ms_per_event(runs: EngineRuns) -> float:
    """What the profiler adds per kernel: it stands between kernels, but inside the control flow around them."""
    added_ms = statistics.median(runs.profiled_ms) - statistics.median(runs.plain_ms)
    return min(max(0.0, added_ms / max(runs.trace.events_per_run, 1)), _MOST_PROFILER_MS)


def layers_of_kernels(kernels: Sequence[Kernel], layers: Sequence[Sequence[str]]) -> Mapping[int, int]:
    """Index of an optimised node -> the layer that its time counts for.

    A kernel that computes nodes of several layers counts for the one with most of them, the last of equals.
    """
    layer_of_node = {node: index for index, nodes in enumerate(layers) for node in nodes}
    found = {}
    for index, kernel in enumerate(kernels):
        hits = [layer_of_node[node] for node in kernel.nodes if node in layer_of_node]
        if hits:
            found[index] = max(hits, key=lambda layer: (hits.count(layer), layer))
    return found


def interquartile_range(samples: Sequence[float]) -> float:
    """Distance between the quartiles; 0 for fewer than two samples."""
    if len(samples) < 2:
        return 0.0
    low, _, high = statistics.quantiles(samples, n=4)
    return high - low


def first_run(events: Sequence[KernelEvent]) -> dict[int, KernelEvent]:
    """One run's kernels by the index of their node."""
    return {event.node: event for event in events}
