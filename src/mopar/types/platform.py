"""Prices and limits of platforms: plain data, each with a date and a source."""

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class CpuSize:
    """A number of CPUs that can be bought, and the range of memory sold with it (``memory_max_mib`` None: no limit)."""

    cpu: float
    memory_min_mib: int = 0
    memory_max_mib: int | None = None


MOST_INLINE_BYTES = 32 << 10
_SPARE_BYTES = 32 << 10
_ENTRY_BYTES = 640
"""Of a state, room that is left, and for a tensor's name, shape and key."""


@dataclass(frozen=True, slots=True)
class Orchestrator:
    """What runs the calls of a plan, and what it costs beyond them: by default mopar's gateway. One call needs none.

    Attributes:
        name: as ``--orchestration`` takes it.
        request_usd: price of a request.
        gib_s_usd, memory_mib: price of one GiB for one second, and what is held while a request lasts.
        billing_unit_ms: a request's latency is rounded up to a multiple of it; 0 for no rounding.
        state_bytes: what holds all tensors of a request, or pointers to objects in their place, none of them encoded;
            None where each call has a message of its own, whose limit is the platform's ``payload_bytes``.
        encodes: whether it encodes the model's inputs and decodes its outputs.
    """

    name: str = "gateway"
    request_usd: float = 0.0
    gib_s_usd: float = 0.0
    memory_mib: int = 0
    billing_unit_ms: float = 0.0
    state_bytes: int | None = None
    encodes: bool = True

    @property
    def usd_per_ms(self) -> float:
        """Price of a millisecond of a request."""
        return self.memory_mib / 1024 * self.gib_s_usd / 1000

    def inline_bytes(self, tensors: int) -> float:
        """The largest tensor that is no object, in a plan with so many tensors."""
        return inf if self.state_bytes is None else inline_bytes(self.state_bytes, tensors)


def inline_bytes(state_bytes: int, tensors: int, most_bytes: int = MOST_INLINE_BYTES) -> int:
    """The largest tensor that a state of so many tensors holds, in base64 beside a pointer to each; below 0 for none.

    Args:
        state_bytes: of the state.
        tensors: in a request.
        most_bytes: of one.
    """
    spare = state_bytes - _SPARE_BYTES - tensors * _ENTRY_BYTES
    return min(spare * 3 // 4 // max(tensors, 1), most_bytes)


def most_pointers(state_bytes: int) -> int:
    """Of how many tensors a state holds pointers."""
    return (state_bytes - _SPARE_BYTES) // _ENTRY_BYTES


@dataclass(frozen=True, slots=True)
class PriceBook:
    """A platform's prices, memory steps and billing unit.

    Attributes:
        name: the name that ``--prices`` takes.
        date: date on which the prices were read (ISO 8601); ``source`` is where.
        gib_s_usd: price of one GiB for one second.
        vcpu_s_usd: price of one CPU for one second; 0 where CPU is not billed.
        request_usd: price of one call.
        memory_min_mib, memory_max_mib, memory_step_mib: the memory sizes that can be bought.
        billing_unit_ms: durations are rounded up to a multiple of it; 0 for no rounding.
        billing_min_ms: the shortest billed duration.
        mib_per_vcpu: memory that buys one CPU on a coupled platform; None where memory and CPU are bought separately.
        cpu_per_function: CPUs of a function where they are bought separately and ``cpu_sizes`` is empty.
        cpu_sizes: the CPU sizes to choose from, where they are bought separately.
        init_billed: whether initialisation is billed.
        cold_rate: share of calls that are cold starts.
        put_usd, get_usd: price of writing, and of reading, a tensor as an object of the store that functions share.
        quota_period_ms: period of the quota by which a function's CPU is limited; Linux's own is 100 ms.
        orchestrators: what can run a plan there, beside mopar's gateway, which costs nothing of the platform's.
        orchestrator: what runs this plan; None where nothing is named.
    """

    name: str
    date: str
    source: str
    gib_s_usd: float
    vcpu_s_usd: float
    request_usd: float
    memory_min_mib: int
    memory_max_mib: int
    memory_step_mib: int
    billing_unit_ms: float
    mib_per_vcpu: float | None
    cpu_per_function: float
    init_billed: bool
    cold_rate: float
    cpu_sizes: tuple[CpuSize, ...] = ()
    billing_min_ms: float = 0.0
    put_usd: float = 0.0
    get_usd: float = 0.0
    quota_period_ms: float = 100.0
    orchestrators: tuple[Orchestrator, ...] = ()
    orchestrator: Orchestrator | None = None


@dataclass(frozen=True, slots=True)
class PlatformLimits:
    """Limits of a platform; None means no limit.

    Attributes:
        name: the name that ``--platform`` takes.
        prices: name of its default price book.
        max_functions: most functions per deployment.
        payload_bytes: largest encoded body of one call, all its tensors together.
        payload_factor: encoded bytes per tensor byte (base64: 4/3).
        package_bytes: largest total size of one function's files.
        shares_host: whether functions run on the profile's own host, where they share cores and caches.
        hop_ms, hop_ms_per_mib: latency that a call, and each MiB of it in each direction, adds. Both are 0 on the
            profile's own host where calls are made as it measures them (frames, and shared memory).
        hop_billed_share, wire_billed_share: share of the two that passes inside the function and is billed; the
            rest is latency only.
        package_base_bytes: size of the runtime, which is part of ``package_bytes``.
        portable_graphs: whether functions load portable graphs, because the kind of their CPU is not known.
        store_ms, store_ms_per_mib: latency of putting an object into the store that functions share, and of getting it,
            each, and per MiB of it; ``store_ms`` is None where they have none.
        store_mib: memory of a function that does.
        start_ms, start_wait_ms: start of a function without weights, what it computes with one CPU and what it waits;
            ``start_ms`` is None where a start takes what the profile measured.
        start_read_share: time of reading weights from a disk, as a share of what loading them computes; a function that
            waits for its quota of CPU reads meanwhile.
        max_start_ms: the longest start of a function.
    """

    name: str
    prices: str
    max_functions: int | None
    payload_bytes: int | None
    payload_factor: float
    package_bytes: int | None
    shares_host: bool = False
    hop_ms: float = 0.0
    hop_ms_per_mib: float = 0.0
    hop_billed_share: float = 0.5
    wire_billed_share: float = 1.0
    package_base_bytes: int = 0
    portable_graphs: bool = False
    store_ms: float | None = None
    store_ms_per_mib: float = 0.0
    store_mib: float = 0.0
    start_ms: float | None = None
    start_wait_ms: float = 0.0
    start_read_share: float = 0.0
    max_start_ms: float | None = None

    @property
    def shares_memory(self) -> bool:
        """Whether functions pass tensors and wait for each other in memory that they share, as the profile measures."""
        return self.shares_host and not self.hop_ms and not self.hop_ms_per_mib
