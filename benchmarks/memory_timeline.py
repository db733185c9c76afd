"""Memory over time: liveness analysis against resident memory sampled while the model runs.

    python -m benchmarks.memory_timeline [MODEL ..] [--json FILE]

A model is optimised and packed as for functions. Its weights are dropped from the process, a run faults them in again
as they are read, and a second process samples /proc/PID/statm meanwhile. *In need*: the pages of mapped files that a
layer faults in, plus anonymous memory; *loaded so far*: all pages mapped by then, plus anonymous memory. Workspace is
added to the analytic figures, and the request's inputs until the end, since the caller holds them.

Goals: loaded so far correlates by 0.99 and has its peak within 5% or 2 MiB; the swing of memory in need is within 10
points; anonymous memory is, in the median layer, within 10% of its peak of what the engine's buffers should hold. The
largest deviations are explained.
"""

import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.buffers import HeldBytes, held_bytes
from benchmarks.common import met, parser, say_where, table, write_raw
from benchmarks.layers import MeasuredLayers, measured_layers
from benchmarks.timeline.measured import ResidentPoint, resident_timeline
from mopar.cli.patterns import sparkline
from mopar.profiling import RunBudget
from mopar.types import GlobalDifferences, MemoryPoint
from tests.models import MODELS

NAMES = ("resnet50", "efficientnet-b0", "convnext-base", "minilm", "bilstm")
BUDGET = RunBudget(seconds=2.0, min_runs=7, max_runs=60)
CORRELATION_GOAL, PEAK_GOAL, SWING_GOAL, BUFFER_GOAL = 0.99, 0.05, 0.10, 0.10
MIB = 1 << 20
PEAK_GOAL_BYTES = 2 * MIB
_RESOLUTION_BYTES = MIB // 8


@dataclass(frozen=True, slots=True)
class Pair:
    """A layer, by analysis and as sampled; ``held`` is what the engine's buffers should hold."""

    layer: int
    operators: str
    latency_ms: float
    analytic: MemoryPoint
    held: HeldBytes
    resident: ResidentPoint

    @property
    def added_bytes(self) -> int:
        """What a process holds beyond memory in need as it is defined."""
        return self.analytic.workspace_bytes + self.held.spent_inputs

    @property
    def in_need_bytes(self) -> int:
        """What resident memory should show."""
        return self.analytic.in_need_bytes + self.added_bytes

    @property
    def in_need_off(self) -> int:
        """Sampled minus expected."""
        return self.resident.in_need_bytes - self.in_need_bytes


@dataclass(frozen=True, slots=True)
class Comparison:
    """A model's two timelines, of the layers that were sampled."""

    model: str
    layers: int
    time_share: float
    differences: GlobalDifferences
    pairs: tuple[Pair, ...]

    def series(self, seen: Callable[[Pair], int], expected: Callable[[Pair], int]) -> tuple[list[int], list[int]]:
        """Sampled and expected values of each layer."""
        return [seen(pair) for pair in self.pairs], [expected(pair) for pair in self.pairs]

    def loaded(self) -> tuple[list[int], list[int]]:
        """Loaded so far, sampled and expected."""
        return self.series(
            lambda pair: pair.resident.loaded_bytes,
            lambda pair: pair.analytic.loaded_bytes + pair.added_bytes,
        )

    def in_need(self) -> tuple[list[int], list[int]]:
        """In need, sampled and expected."""
        return self.series(lambda pair: pair.resident.in_need_bytes, lambda pair: pair.in_need_bytes)

    def buffers(self) -> tuple[list[int], list[int]]:
        """Anonymous memory, sampled, and the engine's buffers and workspace."""
        return self.series(
            lambda pair: pair.resident.anonymous_bytes,
            lambda pair: pair.held.buffers + pair.analytic.workspace_bytes,
        )

    def swings(self) -> tuple[float, float]:
        """Swing of memory in need over the layers that count, sampled and expected."""
        total_ms = sum(pair.latency_ms for pair in self.pairs) / self.time_share
        counted = [pair for pair in self.pairs if pair.latency_ms / total_ms >= self.differences.least_share]
        seen = [pair.resident.in_need_bytes for pair in counted]
        expected = [pair.in_need_bytes for pair in counted]
        return 1 - min(seen) / max(seen), 1 - min(expected) / max(expected)


def compare(name: str) -> Comparison:
    """Measure a model's layers, then sample its memory while it runs."""
    with measured_layers(name, BUDGET) as one:
        print(f"  {name}: watched", file=sys.stderr, flush=True)
        nodes = [layer.nodes for layer in one.layers]
        seen = resident_timeline(one.model, nodes, one.measured, one.inputs, one.directory)
        return _compared(name, one, seen, held_bytes(one))


def _compared(
    name: str, one: MeasuredLayers, seen: Mapping[int, ResidentPoint], held: Mapping[int, HeldBytes]
) -> Comparison:
    pairs = tuple(
        Pair(layer, "+".join(profile.operators), profile.latency_ms, point, held[layer], seen[layer])
        for layer, (profile, point) in enumerate(zip(one.profiles, one.patterns.timeline, strict=True))
        if layer in seen and layer in held
    )
    total_ms = sum(profile.latency_ms for profile in one.profiles)
    time_share = sum(pair.latency_ms for pair in pairs) / total_ms
    return Comparison(name, len(one.layers), time_share, one.patterns.differences, pairs)


def show_lines(found: Comparison) -> None:
    """Print memory in need over time, sampled and analytic, and the layers with the largest deviations."""
    print(f"{found.model}: {len(found.pairs)} of {found.layers} layers seen, {found.time_share:.0%} of the time")
    durations = [pair.latency_ms for pair in found.pairs]
    seen, expected = found.in_need()
    print(f"  in need, analytic  {sparkline(expected, durations)}  {max(expected) / MIB:.2f} MiB at most")
    print(f"  in need, resident  {sparkline(seen, durations)}  {max(seen) / MIB:.2f} MiB at most")
    for pair in sorted(found.pairs, key=lambda pair: -abs(pair.in_need_off))[:2]:
        print(f"  furthest off: layer {pair.layer} ({pair.operators[:40]}): {explained(pair)}")
    print(flush=True)


def explained(pair: Pair) -> str:
    """Explain the difference between a layer's two figures."""
    point, resident = pair.analytic, pair.resident
    tensors = point.activation_bytes + pair.added_bytes
    buffers = pair.held.buffers + point.workspace_bytes
    parts = [
        f"weights {point.weight_bytes / MIB:.2f} MiB, came in {resident.new_file_bytes / MIB:.2f}",
        f"tensors {tensors / MIB:.2f}, buffers {buffers / MIB:.2f}, anonymous {resident.anonymous_bytes / MIB:.2f}",
    ]
    if resident.new_file_bytes < point.weight_bytes / 2 and point.weight_bytes > _RESOLUTION_BYTES:
        parts.append("its weights are read in part, as a table's rows are")
    if buffers > tensors + _RESOLUTION_BYTES:
        parts.append("buffers wait for later tensors of their size")
    return "; ".join(parts)


def row_of(found: Comparison) -> tuple[str, ...]:
    """A model's row of the table."""
    loaded, in_need, buffers = found.loaded(), found.in_need(), found.buffers()
    swings = found.swings()
    return (
        found.model,
        f"{max(loaded[1]) / MIB:.1f}>{max(loaded[0]) / MIB:.1f}",
        f"{statistics.correlation(*loaded):.4f}",
        f"{max(in_need[1]) / MIB:.2f}>{max(in_need[0]) / MIB:.2f}",
        f"{statistics.correlation(*in_need):.3f}",
        f"{found.differences.in_need.share:.1%}",
        f"{swings[1]:.1%}>{swings[0]:.1%}",
        f"{max(buffers[1]) / MIB:.2f}>{max(buffers[0]) / MIB:.2f}",
        f"{buffers_off(found) / MIB:.2f}",
        " ".join(goals(found)),
    )


def buffers_off(found: Comparison) -> float:
    """Median distance of anonymous memory from what the engine's buffers should hold, in bytes."""
    return statistics.median(abs(seen - expected) for seen, expected in zip(*found.buffers(), strict=True))


def goals(found: Comparison) -> tuple[str, str, str]:
    """Loaded so far, swing, buffers."""
    loaded, swings = found.loaded(), found.swings()
    seen, expected = max(loaded[0]), max(loaded[1])
    near = abs(seen - expected) <= max(PEAK_GOAL * expected, PEAK_GOAL_BYTES)
    near &= statistics.correlation(*loaded) >= CORRELATION_GOAL
    buffers = buffers_off(found) <= BUFFER_GOAL * max(found.buffers()[0])
    return met(near), met(abs(swings[0] - swings[1]) <= SWING_GOAL), met(buffers)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument(
        "models", nargs="*", metavar="MODEL", choices=[*MODELS, []], help=f"default: {' '.join(NAMES)}"
    )
    options = arguments.parse_args()
    say_where(0)
    found = []
    for name in options.models or NAMES:
        found.append(compare(name))
        show_lines(found[-1])
    columns = (
        "model (MiB: analytic>resident)",
        "peak loaded so far",
        "correlation",
        "peak in need",
        "correlation",
        "swing by definition",
        "as a process holds it",
        "peak of buffers",
        "median off",
        "goals: loaded, swing, buffers",
    )
    table(columns, [row_of(one) for one in found])
    write_raw(options.json, "memory_timeline", {"seed": 0, "models": found})


if __name__ == "__main__":
    main()
