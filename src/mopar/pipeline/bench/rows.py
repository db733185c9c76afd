"""What a benchmark reports, and how its figures are made of samples."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mopar.planning.model.prices import billed_ms, bought_mib, call_usd
from mopar.types import Machine, PriceBook

_MIB_PER_GIB = 1024.0
_MILLION = 1e6


@dataclass(frozen=True, slots=True)
class Latency:
    """Of requests, from the client's side, in ms."""

    p50: float
    p95: float
    min: float


@dataclass(frozen=True, slots=True)
class GatewayCost:
    """The gateway's own process: resident memory, and CPU time per request."""

    memory_mib: float
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class BenchRow:
    """A configuration's figures.

    Attributes:
        config: its name.
        functions: how many.
        latency_ms: through the gateway, one request at a time.
        engine_ms: median engine time of all graphs, one after the other in one process.
        memory_mib: limit of each function: required memory as measured, plus headroom.
        gb_s_per_request: billed duration x limit, over all functions.
        compute_gb_s: the part inside the engine; ``communication_gb_s`` the rest.
        gateway: its memory and CPU.
        gb_s_with_gateway: the gateway's memory for the request's duration added.
        cost_per_million_usd: in the book of the run.
        cost_lambda_usd: in ``aws-lambda-x86`` at its minimum size and billing unit, for comparison.
        efficiency: memory in need over the request / GB-s.
        equal: whether every answer was the whole model's.
        predicted_latency_ms, predicted_gb_s: the plan's; None for what no plan was made for.
        billed_ms: median billed duration of each function.
        samples_ms: every request's latency.
    """

    config: str
    functions: int
    latency_ms: Latency
    engine_ms: float
    memory_mib: tuple[int, ...]
    gb_s_per_request: float
    compute_gb_s: float
    communication_gb_s: float
    gateway: GatewayCost
    gb_s_with_gateway: float
    cost_per_million_usd: float
    cost_lambda_usd: float
    efficiency: float
    equal: bool
    predicted_latency_ms: float | None
    predicted_gb_s: float | None
    billed_ms: tuple[float, ...]
    samples_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class BenchReport:
    """All rows of a run. ``ratios`` are of each row to each unsplit one: below 1 is better."""

    model: str
    prices: str
    requests: int
    cpu: float
    machine: Machine
    rows: tuple[BenchRow, ...]
    ratios: Mapping[str, float]
    notes: tuple[str, ...] = ()


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
        call_usd(book, bought_mib(book, mib), cpu, billed_ms(book, ms), init_ms)
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
            key = f"{label(row)}/{baseline.config}"
            ratios[f"{key} gb_s"] = row.gb_s_per_request / baseline.gb_s_per_request
            ratios[f"{key} latency"] = row.latency_ms.p50 / baseline.latency_ms.p50
            ratios[f"{key} cost"] = row.cost_per_million_usd / baseline.cost_per_million_usd
    return ratios


def label(row: BenchRow) -> str:
    """The row's name among rows: uniform ones are told apart by their number of functions."""
    return f"{row.config}-{row.functions}" if row.config == "uniform" else row.config
