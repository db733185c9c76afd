"""How a benchmark's figures are made of samples."""

import statistics
from collections.abc import Sequence

from mopar.types.reports import BenchRow, Latency

_MIB_PER_GIB = 1024.0


def latency_of(samples_ms: Sequence[float]) -> Latency:
    """Percentiles of samples, in ms."""
    ordered = sorted(samples_ms)
    return Latency(
        p50=statistics.median(ordered), p95=ordered[min(int(0.95 * len(ordered)), len(ordered) - 1)], min=ordered[0]
    )


def gb_s(memory_mib: Sequence[int], durations_ms: Sequence[float]) -> float:
    """Memory x time of all functions, in GiB-s."""
    return sum(mib / _MIB_PER_GIB * ms / 1e3 for mib, ms in zip(memory_mib, durations_ms, strict=True))


def ratios_of(rows: Sequence[BenchRow]) -> dict[str, float]:
    """GB-s, latency and cost of each row over those of each unsplit row, whatever its CPUs."""
    baselines = [row for row in rows if "-unsplit" in row.config]
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
