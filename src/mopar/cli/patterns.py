"""Prints the patterns of a profile."""

import math
from collections.abc import Sequence

from rich.console import Console

from mopar.cli.output import table
from mopar.types import LayerProfile, Patterns, Profile

_MIB = 1 << 20
_COLUMNS = 64
_RUNS_SHOWN = 10
_OPERATORS_SHOWN = 8
_BLOCKS, _PLAIN = "▁▂▃▄▅▆▇█", "_.-~=+*#"


def render_patterns(console: Console, profile: Profile) -> None:
    """Print memory over time, memory swing, operators, and runs of similar layers."""
    patterns = profile.patterns
    if patterns is None:
        return
    _render_memory(console, profile.layers, patterns)
    console.print(_operators(patterns))
    console.print(_runs(patterns))


def _render_memory(console: Console, layers: Sequence[LayerProfile], patterns: Patterns) -> None:
    differences = patterns.differences
    line = sparkline(
        [point.in_need_bytes for point in patterns.timeline],
        [layer.latency_ms for layer in layers],
        unicode=console.encoding.startswith("utf"),
    )
    console.print(f"memory in need over time: {line}", highlight=False)
    console.print(
        f"memory swing, over {differences.layers} layers with {differences.time_share:.0%} of the time:",
        highlight=False,
    )
    swings = (
        ("in need", differences.in_need),
        ("weights loaded so far", differences.loaded),
        ("all weights held", differences.held),
    )
    for name, swing in swings:
        span = f"{swing.least_bytes / _MIB:.2f} MiB in layer {swing.least_layer}"
        most = f"{swing.most_bytes / _MIB:.2f} MiB in layer {swing.most_layer}"
        console.print(f"  {name:<22}{swing.share:>6.1%}  {span} to {most}", highlight=False)


def _operators(patterns: Patterns) -> object:
    rows = [
        (
            share.operator,
            str(share.layers),
            f"{share.time_share:.1%}",
            f"{share.memory_time_share:.1%}",
            f"{share.weight_share:.1%}",
            f"{share.activation_share:.1%}",
            "dominant" if share.dominant else "",
        )
        for share in patterns.operators[:_OPERATORS_SHOWN]
    ]
    columns = ("operator", "layers", "time", "memory x time", "weights", "activations", "")
    return table("Operators", columns, rows)


def _runs(patterns: Patterns) -> object:
    shown = sorted(patterns.runs, key=lambda run: -run.time_share)[:_RUNS_SHOWN]
    rows = [
        (
            f"{run.start}" if run.stop == run.start + 1 else f"{run.start} to {run.stop - 1}",
            f"{run.time_share:.1%}",
            f"{run.mean_ms:.3f}",
            f"{run.mean_mib:.2f}",
        )
        for run in sorted(shown, key=lambda run: run.start)
    ]
    title = f"{len(patterns.runs)} run{'s' * (len(patterns.runs) > 1)} of similar layers"
    if len(shown) < len(patterns.runs):
        title += f", {len(shown)} longest"
    return table(title, ("layers", "time", "ms each", "MiB each"), rows)


def sparkline(
    values: Sequence[float], durations: Sequence[float], *, columns: int = _COLUMNS, unicode: bool = True
) -> str:
    """One line of bars: values over time, each bar the largest value in its interval.

    Args:
        values: value during each interval, not below 0.
        durations: lengths of the intervals.
        columns: number of bars.
        unicode: whether block characters can be printed.
    """
    levels = _BLOCKS if unicode else _PLAIN
    total, most = sum(durations), max(values, default=0.0)
    if total <= 0 or most <= 0:
        return levels[0] * columns
    bars = [0.0] * columns
    end = 0.0
    for value, duration in zip(values, durations, strict=True):
        first = min(int(end / total * columns), columns - 1)
        end += duration
        last = min(max(first, math.ceil(end / total * columns) - 1), columns - 1)
        for column in range(first, last + 1):
            bars[column] = max(bars[column], value)
    return "".join(levels[min(int(bar / most * len(levels)), len(levels) - 1)] for bar in bars)
