"""What was found: a bundle held against its model, and a model measured in several configurations."""

from dataclasses import dataclass, field

from mopar.types.plan import Accuracy
from mopar.types.profile import Machine

VERIFICATION_SCHEMA = 2
BENCH_SCHEMA = 2


@dataclass(frozen=True, slots=True)
class VerifiedFunction:
    """A function, as predicted and as it is.

    Attributes:
        name: of the function.
        predicted_mib, measured_mib: required memory; None where it was not measured.
        limit_mib: the plan's limit.
        predicted_ms, measured_ms: billed duration of a request under the limit, or without one where none could be
            set; None where no request was answered.
        survived: whether every request under the limit was answered; None where no limit could be set and every
            request was answered, which says nothing about the limit.
        exit_reason: what ended it where it did not survive.
    """

    name: str
    predicted_mib: float
    measured_mib: float | None
    limit_mib: int
    predicted_ms: float
    measured_ms: float | None
    survived: bool | None
    exit_reason: str | None = None


@dataclass(frozen=True, slots=True)
class PredictedMeasured:
    """A figure, as predicted and as measured; None where it could not be measured."""

    predicted: float
    measured: float | None


@dataclass(frozen=True, slots=True)
class Verification:
    """What ``mopar verify`` found.

    Attributes:
        equal: whether every answer is the model's, within the tolerance; of a plan with lossy codecs, whether no more
            is lost than its accuracy budget.
        max_abs_error, max_rel_error: the largest over all outputs; None where an output differs in shape, in type or in
            where it is not finite, so that no number tells how far off it is.
        tolerance: of the output that is furthest off.
        inputs: how many requests were compared.
        functions: in the plan's order.
        latency_ms: of a request.
        accuracy: of a plan with lossy codecs, as measured here; None for others.
        notes: predictions that missed, what could not be measured, and whether others used the machine meanwhile.
    """

    equal: bool
    max_abs_error: float | None
    max_rel_error: float | None
    tolerance: float
    inputs: int
    functions: tuple[VerifiedFunction, ...]
    latency_ms: PredictedMeasured
    accuracy: Accuracy | None = None
    notes: tuple[str, ...] = ()
    schema: int = VERIFICATION_SCHEMA

    @property
    def passed(self) -> bool:
        """Equal, and no function is known to have died.

        That every function survives its limit is known only where limits could be set: ``survived`` is None elsewhere.
        """
        return self.equal and all(function.survived is not False for function in self.functions)


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
        cpus: of each function.
        latency_ms: through the gateway, one request at a time.
        cpu_s_per_request: CPU time of all functions and of the gateway.
        engine_ms: median engine time of all graphs, one after the other in one process.
        memory_mib: limit of each function: required memory as measured, plus headroom.
        limited: whether these limits, and those of CPU, were set; where they could not be, required memory is the peak
            of resident memory.
        allocator: what functions did with freed memory (``mopar.runtime.environment``).
        gb_s_per_request: billed duration x limit, over all functions.
        compute_gb_s: the part inside the engine; ``communication_gb_s`` the rest.
        gateway: its memory and CPU.
        gb_s_with_gateway: the gateway's memory for the request's duration added.
        cost_per_million_usd: in the book of the run, of what was measured: where memory buys CPU, at sizes that buy the
            CPUs that functions had.
        cost_lambda_usd: in ``aws-lambda-x86``, for comparison: of each function at the cheapest size that holds its
            required memory, whatever that does to latency; None where a function is too large for it.
        costs_usd: for a million requests in every price book, by the same two rules; None where a function is too
            large for the book.
        lambda_mib, lambda_billed_ms: those sizes, and what all calls of a function in a request would take there.
        init_ms: of each function, from exec to ready, alone, with its files read from the disk.
        efficiency: memory in need over the request / GB-s.
        equal: whether every answer was the reference model's.
        predicted_latency_ms, predicted_gb_s: the plan's; None for what no plan was made for.
        held_ms: median held time of each function, which is billed.
        waiting_ms: of that, the median of waiting for functions that compute other parts of the same slice.
        samples_ms: every request's latency.
        codecs: of the tensors that are sent encoded.
    """

    config: str
    functions: int
    cpus: tuple[float, ...]
    latency_ms: Latency
    cpu_s_per_request: float
    engine_ms: float
    memory_mib: tuple[int, ...]
    limited: bool
    allocator: str
    gb_s_per_request: float
    compute_gb_s: float
    communication_gb_s: float
    gateway: GatewayCost
    gb_s_with_gateway: float
    cost_per_million_usd: float
    cost_lambda_usd: float | None
    costs_usd: dict[str, float | None]
    lambda_mib: tuple[int, ...] | None
    lambda_billed_ms: tuple[float, ...] | None
    init_ms: tuple[float, ...]
    efficiency: float
    equal: bool
    predicted_latency_ms: float | None
    predicted_gb_s: float | None
    held_ms: tuple[float, ...]
    waiting_ms: tuple[float, ...]
    samples_ms: tuple[float, ...]
    codecs: dict[str, str] = field(default_factory=dict)

    @property
    def waiting_gb_s(self) -> float:
        """The part of ``gb_s_per_request`` in which functions wait for others."""
        return sum(mib / 1024 * ms / 1e3 for mib, ms in zip(self.memory_mib, self.waiting_ms, strict=True))

    @property
    def label(self) -> str:
        """The row's name among rows: several uniform ones differ in their number of functions."""
        return f"{self.config}-{self.functions}" if self.config == "uniform" else self.config


@dataclass(frozen=True, slots=True)
class BenchReport:
    """What ``mopar bench`` found.

    Attributes:
        model: its name.
        prices: the price book of ``cost_per_million_usd``.
        requests: counted ones to each configuration.
        read_ahead_kib: of the disk that held the bundles, in KiB; None where it is not known.
        machine: where it was measured.
        rows: a configuration each.
        ratios: of each row to each unsplit one: below 1 is better.
    """

    model: str
    prices: str
    requests: int
    read_ahead_kib: int | None
    machine: Machine
    rows: tuple[BenchRow, ...]
    ratios: dict[str, float]
    schema: int = BENCH_SCHEMA
