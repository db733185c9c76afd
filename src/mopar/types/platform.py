"""What a platform charges and forbids: data, dated and with its source."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CpuSize:
    """CPUs that a function can have, and the memory that can be bought with them (``memory_max_mib`` None: any)."""

    cpu: float
    memory_min_mib: int = 0
    memory_max_mib: int | None = None


@dataclass(frozen=True, slots=True)
class PriceBook:
    """A platform's prices, memory steps and billing unit.

    Attributes:
        name: as ``--prices`` takes it.
        date: when the prices were read (ISO 8601); ``source`` where.
        gib_s_usd: price of one GiB held for a second.
        vcpu_s_usd: price of one CPU held for a second; 0 where CPU is not billed.
        request_usd: price of one call.
        memory_min_mib, memory_max_mib, memory_step_mib: sizes that can be bought.
        billing_unit_ms: durations are rounded up to it; 0 for none.
        billing_min_ms: the shortest duration that is billed.
        mib_per_vcpu: memory that buys one CPU where the two are coupled; None where they are apart.
        cpu_per_function: CPUs of a function where memory and CPU are apart and ``cpu_sizes`` has no choice.
        cpu_sizes: CPUs to choose from, where the two are apart.
        init_billed: whether initialisation is billed.
        cold_rate: share of calls that meet a cold function.
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


@dataclass(frozen=True, slots=True)
class PlatformLimits:
    """What a platform forbids; None where it forbids nothing.

    Attributes:
        name: as ``--platform`` takes it.
        prices: its own price book.
        max_functions: functions per deployment.
        payload_bytes: encoded body of one call, all its tensors together.
        payload_factor: encoded bytes per tensor byte (base64: 4/3).
        package_bytes: files of one function.
        shares_host: whether functions run on the profile's own host, so that its measurement of a call holds (one
            machine, shared memory). Where they do not, ``hop_ms`` and ``hop_ms_per_mib`` say what a call adds.
        hop_ms, hop_ms_per_mib: what a call, and each MiB of it in each direction, adds to latency; 0 where it is
            the profile that says so.
        hop_billed_share, wire_billed_share: how much of the two passes inside the function, and is
            billed; the rest is latency alone.
        package_base_bytes: what the runtime takes of ``package_bytes``.
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
