"""What was decided: functions, the graphs they hold, and the calls that make up a request."""

from dataclasses import dataclass, field

from mopar.types.profile import InputRecipe
from mopar.types.ranges import InputRange
from mopar.types.shards import GraphPart

PLAN_SCHEMA = 2
REQUEST = "request"
"""The producer of the model's own inputs."""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a tensor: elements ``start`` to ``stop`` (exclusive) along ``axis``.

    ``size`` is the whole axis's where the plan holds for that size alone; a request that makes another is refused.
    """

    axis: int
    start: int
    stop: int
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A tensor as one call made it. ``producer`` is a call's id or ``REQUEST``."""

    producer: str
    tensor: str
    region: Region | None = None


@dataclass(frozen=True, slots=True)
class CallInput:
    """One input of a call's graph.

    Attributes:
        tensor: the graph's input.
        sources: what it is made of; one, unless ``combine`` joins several.
        combine: ``none``, ``concat`` (along ``axis``) or ``sum``.
        axis: of the concatenation; None otherwise.
    """

    tensor: str
    sources: tuple[Source, ...]
    combine: str = "none"
    axis: int | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One use of a function within a request."""

    id: str
    function: str
    graph: str
    inputs: tuple[CallInput, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """A run of layers that a function holds: ``start`` to ``stop`` (exclusive).

    ``inputs`` and ``outputs`` name its boundary tensors, so that a plan can be read, and checked
    against a model, without the profile. ``part`` where it is one of several that compute the run side by side:
    its tensors are then shares of these.
    """

    id: str
    start: int
    stop: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    part: GraphPart | None = None


@dataclass(frozen=True, slots=True)
class Function:
    """A serverless function. ``memory_mib`` is the limit that is set and billed."""

    name: str
    graphs: tuple[str, ...]
    memory_mib: int
    cpu: float
    threads: int = 1

    def is_possible(self) -> bool:
        """Whether some machine could have such limits: what comes from a file may be anything."""
        return 1 <= self.memory_mib <= 1 << 40 and 0 < self.cpu <= 1 << 20 and 1 <= self.threads <= 1 << 10


@dataclass(frozen=True, slots=True)
class PredictedFunction:
    """What is expected of a function, per request: before headroom and rounding."""

    name: str
    memory_mib: float
    latency_ms: float
    billed_ms: float
    init_ms: float


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a plan is expected to take, by the arithmetic of DESIGN.md, section 4.

    ``memory_mib`` is the limits of all functions together: what a deployment holds.
    """

    latency_ms: float
    gb_s_per_request: float
    cost_per_million_usd: float
    efficiency: float
    compute_gb_s: float
    communication_gb_s: float
    memory_mib: int
    functions: tuple[PredictedFunction, ...]


@dataclass(frozen=True, slots=True)
class CutReason:
    """Why a slice ends where it ends: what a plan that differs in this cut alone would cost.

    Attributes:
        functions: that end there: one, or those that compute the slice side by side.
        cut: the position.
        next_best: the cheapest other position between the neighbouring cuts; None where limits forbid all.
        next_usd, next_ms: what a request would cost and take more with it.
        without_usd, without_ms: the same where the slice and its next were one; None where limits forbid it.
        total_usd: what a request costs as planned.
    """

    functions: tuple[str, ...]
    cut: int
    next_best: int | None
    next_usd: float | None
    next_ms: float | None
    without_usd: float | None
    without_ms: float | None
    total_usd: float


@dataclass(frozen=True, slots=True)
class RefineTry:
    """A plan that was built and measured on the way to this one.

    Attributes:
        text: its one-line form.
        predicted_ms, measured_ms: latency of a request; None where it could not be measured.
        predicted_mib, measured_mib: required memory of each function.
        held: whether both were within 5% of what was predicted.
    """

    text: str
    predicted_ms: float
    measured_ms: float | None
    predicted_mib: tuple[float, ...]
    measured_mib: tuple[float | None, ...]
    held: bool


@dataclass(frozen=True, slots=True)
class LargerRequest:
    """What a request beyond a plan's range would need.

    Attributes:
        shapes: of each input, by name.
        memory_mib: required memory of each function, in the plan's order, before headroom.
    """

    shapes: dict[str, tuple[int, ...]]
    memory_mib: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Functions and calls; calls stand in an order in which they can run.

    Attributes:
        model: the model's name.
        graph_sha256: of the canonical form that ``graphs`` count their layers in.
        platform: where it will run; ``prices`` names the book that it was priced by.
        objective: ``cost``, ``latency``, ``balanced``, ``uniform`` or ``cuts``.
        verdict: ``split`` or ``unsplit``; ``reason`` says why in one line.
        outputs: the model's outputs, each as (tensor, call id or ``REQUEST``).
        codecs: tensor -> codec; a tensor that is absent travels as it is.
        predicted: of this plan; ``unsplit`` of the whole model in one function.
        recipes: the request that was measured, so that it can be made again: what latency is predicted for.
        ranges: the sizes of each input that are answered: what memory is predicted for.
        beyond: what larger requests would need, where no range was stated; None where that is not known.
        cuts: why they are where they are; none where they were given.
        tries: what was built and measured to come to it, this plan last; none where nothing was.
    """

    model: str
    graph_sha256: str
    platform: str
    prices: str
    objective: str
    verdict: str
    reason: str
    functions: tuple[Function, ...]
    graphs: tuple[Graph, ...]
    calls: tuple[Call, ...]
    outputs: tuple[tuple[str, str], ...]
    predicted: Predicted
    unsplit: Predicted
    codecs: dict[str, str] = field(default_factory=dict)
    slo_ms: float | None = None
    recipes: tuple[InputRecipe, ...] = ()
    cuts: tuple[CutReason, ...] = ()
    tries: tuple[RefineTry, ...] = ()
    ranges: tuple[InputRange, ...] = ()
    beyond: LargerRequest | None = None
    schema: int = PLAN_SCHEMA
