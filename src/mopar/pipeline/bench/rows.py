"""How a benchmark's figures are made of samples."""

import statistics
from collections.abc import Sequence

from mopar.planning.model.prices import billed_ms, bought_mib, calls_usd
from mopar.types import PriceBook
from mopar.types.reports import BenchRow, Latency

_MIB_PER_GIB = 1024.0
_MILLION = 1e6


def latency_of(samples_ms: Sequence[float]) -> Latency:
    """Percentiles of samples, in ms."""
    ordered = sorted(samples_ms)
    return Latency(
        p50=statistics.median(ordered), p95=ordered[min(int(0.95 * len(ordered)), len(ordered) - 1)], min=ordered[0]
    )


def gb_s(memory_mib: Sequence[int], durations_ms: Sequence[float]) -> float:
    """Memory x time of all functions, in GiB-s."""
    return sum(mib / _MIB_PER_GIB * ms / 1e3 for mib, ms in zip(memory_mib, durations_ms, strict=True))


def cost_per_million(
    book: PriceBook,
    required_mib: Sequence[float],
    durations_ms: Sequence[float],
    cpus: Sequence[float],
    init_ms: float = 0.0,
) -> float:
    """USD for a million requests, one call to each function.

    Args:
        book: whose sizes and billing unit hold.
        required_mib: of each function, headroom included.
        durations_ms: of a call, before rounding.
        cpus: of each function, as it ran.
        init_ms: of each function, for books that bill initialisation.
    """
    return _MILLION * sum(
        calls_usd(book, bought_mib(book, mib), cpu, billed_ms(book, ms), 0.0, init_ms)
        for mib, ms, cpu in zip(required_mib, durations_ms, cpus, strict=True)
    )


def ratios_of(rows: Sequence[BenchRow]) -> dict[str, float]:
    """GB-s, latency and cost of each row over those of each unsplit row."""
    baselines = [row for row in rows if row.config.endswith("-unsplit")]
    ratios = {}
    for row in rows:
        for baseline in baselines:
            if row is baseline:
                continue
            key = f"{row.label}/{baseline.config}"
            ratios[f"{key} gb_s"] = row.gb_s_per_request / baseline.gb_s_per_request
            ratios[f"{key} latency"] = row.latency_ms.p50 / baseline.latency_ms.p50
            ratios[f"{key} cost"] = row.cost_per_million_usd / baseline.cost_per_million_usd
    return ratios
