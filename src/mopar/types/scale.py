"""How many replicas of each function a rate of requests needs, and what they reserve."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScaledFunction:
    """A function's replicas, and the share of the time in which one of them is busy."""

    name: str
    replicas: int
    busy_share: float


@dataclass(frozen=True, slots=True)
class Reserved:
    """What a deployment reserves at a rate of requests.

    Attributes:
        functions: their replicas.
        memory_mib, cpu: the limits of all replicas together, and of gateways.
        gateways: processes that run the plan; 0 where there is one function, which needs none.
    """

    functions: tuple[ScaledFunction, ...]
    memory_mib: int
    cpu: float
    gateways: int


@dataclass(frozen=True, slots=True)
class Scale:
    """A plan's replicas at a rate of requests, beside those of the unsplit model.

    Attributes:
        rate_per_s: requests per second.
        busy_share: the largest share of the time in which a replica may be busy.
        plan, unsplit: what each reserves.
    """

    rate_per_s: float
    busy_share: float
    plan: Reserved
    unsplit: Reserved
