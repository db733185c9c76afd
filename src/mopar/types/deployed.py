"""What deploying, packaging and removing report."""

from dataclasses import dataclass, field

DEPLOYED_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class GatewayAddress:
    """Where a deployment answers: ``url`` is the model's, as clients of the Open Inference Protocol v2 take it."""

    url: str


@dataclass(frozen=True, slots=True)
class Billed:
    """What a platform has billed for a function's calls, or would bill where it is emulated.

    Attributes:
        calls: that were answered.
        duration_ms: billed, initialisations included.
        cost_usd: price of both.
    """

    calls: int
    duration_ms: float
    cost_usd: float


@dataclass(frozen=True, slots=True)
class DeployedFunction:
    """A function as the platform runs it.

    Attributes:
        name: as the plan names it.
        endpoint: where it is called; a URL, or what the platform knows it by.
        memory_mib, cpu: its limits.
        replicas: how many run.
        ready: whether it would answer now.
        billed: since its gateway was started; None where that is not counted.
    """

    name: str
    endpoint: str
    memory_mib: int
    cpu: float
    replicas: int
    ready: bool
    billed: Billed | None = None


@dataclass(frozen=True, slots=True)
class Deployed:
    """A deployment, as it is now.

    Attributes:
        platform, name: what it was deployed to, and as.
        ready: whether a request would be answered now.
        gateway: where; None where it has none, or that is not known.
        functions: in the plan's order.
        seconds: that the verb took.
        parameters: what the gateway says of the model beside its tensors, such as what its lossy codecs lose; empty
            where it says nothing, or was not asked.
    """

    platform: str
    name: str
    ready: bool
    gateway: GatewayAddress | None
    functions: tuple[DeployedFunction, ...]
    seconds: float
    parameters: dict[str, str | float] = field(default_factory=dict)
    schema: int = DEPLOYED_SCHEMA


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed of a deployment, and what is left of it, by name."""

    removed: tuple[str, ...]
    left: tuple[str, ...] = ()
    schema: int = DEPLOYED_SCHEMA


@dataclass(frozen=True, slots=True)
class PackageItem:
    """A function's part of a package, or the gateway's: its path inside it, and the bytes that deploying sends.

    ``bytes`` counts everything unpacked, the runtime that functions share included.
    """

    name: str
    path: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Packaged:
    """What a platform is given of a bundle: images' contexts, archives, templates, manifests."""

    platform: str
    folder: str
    items: tuple[PackageItem, ...]
    schema: int = DEPLOYED_SCHEMA
