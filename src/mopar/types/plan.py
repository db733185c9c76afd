"""Plans: functions, the graphs they hold, and the calls that make up a request."""

from dataclasses import dataclass, field

from mopar.types.network import Network
from mopar.types.profile import InputRecipe
from mopar.types.ranges import InputRange
from mopar.types.scale import Scale
from mopar.types.shards import GraphPart

PLAN_SCHEMA = 3
REQUEST = "request"
"""Id of the producer of the model's own inputs."""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a tensor: elements ``start`` to ``stop`` (exclusive) along ``axis``.

    ``size`` is the length of the whole axis where the plan is valid for that length only: requests for which the
    axis has another length are refused.
    """

    axis: int
    start: int
    stop: int
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A tensor, or a region of it, as its producer made it. ``producer`` is a call's id or ``REQUEST``."""

    producer: str
    tensor: str
    region: Region | None = None


@dataclass(frozen=True, slots=True)
class CallInput:
    """One input of a call's graph.

    Attributes:
        tensor: name of the graph's input.
        sources: the tensors it is made of: one, unless ``combine`` joins several.
        combine: ``none``, ``concat`` (along ``axis``) or ``sum``.
        axis: axis of the concatenation; None otherwise.
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
    """Consecutive layers that a function holds: ``start`` to ``stop`` (exclusive).

    ``inputs`` and ``outputs`` name its boundary tensors, so that a plan can be read, and checked
    against a model, without the profile. ``part`` is set where several functions compute these layers in parallel:
    this graph's tensors are then shares of the named ones.
    """

    id: str
    start: int
    stop: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    part: GraphPart | None = None


@dataclass(frozen=True, slots=True)
class Function:
    """A serverless function. ``memory_mib`` is the limit that is set and billed, of each of its ``replicas``."""

    name: str
    graphs: tuple[str, ...]
    memory_mib: int
    cpu: float
    threads: int = 1
    replicas: int = 1

    def is_possible(self) -> bool:
        """Whether the limits are within what any machine could have; a plan read from a file may hold any values."""
        limits = 1 <= self.memory_mib <= 1 << 40 and 0 < self.cpu <= 1 << 20
        return limits and 1 <= self.threads <= 1 << 10 and 1 <= self.replicas <= 1 << 20


@dataclass(frozen=True, slots=True)
class PredictedFunction:
    """Predicted figures of one function per request, before headroom and rounding.

    Attributes:
        name: the function's.
        memory_mib: required memory.
        latency_ms: inside the function, without waiting.
        billed_ms: what is billed: the same, ``waiting_ms`` included, as the platform rounds it.
        init_ms: from exec to ready.
        waiting_ms: for the functions that compute other parts of its slice, holding its memory.
    """

    name: str
    memory_mib: float
    latency_ms: float
    billed_ms: float
    init_ms: float
    waiting_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Predicted:
    """Predicted figures of a plan per request (docs/planning.md has the arithmetic).

    ``memory_mib`` and ``cpu`` are the sums of all functions' limits: what a deployment of one replica each holds.
    """

    latency_ms: float
    gb_s_per_request: float
    cost_per_million_usd: float
    efficiency: float
    compute_gb_s: float
    communication_gb_s: float
    memory_mib: int
    functions: tuple[PredictedFunction, ...]
    cpu: float = 0.0


@dataclass(frozen=True, slots=True)
class Orchestrated:
    """What runs the calls of a plan, by its price, which is part of the plan's.

    Attributes:
        name: as ``--orchestration`` takes it.
        billed_ms: of a request; 0 where it is not billed by time.
        objects: how many tensors of a request become objects.
        cost_per_million_usd: of it itself, for a million requests.
        objects_per_million_usd: of writing and reading the objects.
    """

    name: str
    billed_ms: float
    objects: int
    cost_per_million_usd: float
    objects_per_million_usd: float

    @property
    def total_per_million_usd(self) -> float:
        """Of both."""
        return self.cost_per_million_usd + self.objects_per_million_usd


@dataclass(frozen=True, slots=True)
class CutReason:
    """Why a slice ends at this cut: the cost of plans that differ in this cut only.

    Attributes:
        functions: names of the functions that end here: one, or the sub-slices of the slice.
        cut: the cut position.
        next_best: the cheapest other position between the neighbouring cuts; None where limits forbid all of them.
        next_usd, next_ms: added cost and latency of a request with the cut at ``next_best``.
        without_usd, without_ms: added cost and latency without this cut; None where limits forbid that.
        total_usd: cost of a request as planned.
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
    """A plan that ``--refine`` built and measured.

    Attributes:
        text: the plan's one-line form.
        predicted_ms, measured_ms: latency of a request; None where it could not be measured.
        predicted_mib, measured_mib: required memory of each function.
        held: whether latency and memory were within 5% of their predictions.
    """

    text: str
    predicted_ms: float
    measured_ms: float | None
    predicted_mib: tuple[float, ...]
    measured_mib: tuple[float | None, ...]
    held: bool


@dataclass(frozen=True, slots=True)
class LargerRequest:
    """Predicted needs of a request that is larger than the plan's range.

    Attributes:
        shapes: shape of each input, by name.
        memory_mib: required memory of each function, in the plan's order, before headroom.
    """

    shapes: dict[str, tuple[int, ...]]
    memory_mib: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What a plan's codecs lose, on inputs held apart from those that they were fitted to.

    Attributes:
        metric: ``top1`` or ``argmax`` agreement, ``cosine``, ``equal``, or ``relative`` error.
        measured: points lost, of a hundred.
        budget: most points that may be lost; None where codecs were forced, whatever they lose.
    """

    metric: str
    measured: float
    budget: float | None

    @property
    def kept(self) -> bool:
        """Whether no more is lost than may be."""
        return self.budget is None or self.measured <= self.budget


@dataclass(frozen=True, slots=True)
class PlanCoding:
    """Of a plan that sends tensors with lossy codecs.

    Attributes:
        sha256: digest of the file beside the plan with what the codecs were fitted to be.
        accuracy: what all of them together lose.
    """

    sha256: str
    accuracy: Accuracy


@dataclass(frozen=True, slots=True)
class Plan:
    """Functions and calls; the calls are in topological order.

    Attributes:
        model: the model's name.
        graph_sha256: digest of the canonical form whose layers ``graphs`` refer to.
        platform: the platform it was planned for; ``prices`` names the price book.
        objective: ``cost``, ``latency``, ``balanced``, ``uniform`` or ``cuts``.
        verdict: ``split`` or ``unsplit``; ``reason`` says why in one line.
        outputs: the model's outputs, each as (tensor, call id or ``REQUEST``).
        codecs: tensor -> codec, or ``object-store`` where it passes through one; a tensor without an entry is
            transferred as it is.
        code_ratios: tensor -> most bytes that are sent of it, where that depends on values, per byte of what messages
            encode: of the tensor, or of its codes.
        predicted: figures of this plan; ``unsplit`` those of the unsplit plan.
        recipes: how the inputs of the measured request were made; latency is predicted for this request.
        ranges: the range of sizes of each input that is answered; memory is predicted for the largest sizes.
        beyond: predicted needs of larger requests, where no range was stated; None where they are not known.
        cuts: a reason for each cut; empty where the cuts were given by the user.
        tries: the plans that ``--refine`` measured, this plan last; empty without ``--refine``.
        quota_period_ms: period of the quotas by which the platform limits functions' CPU.
        scale: what a rate of requests needs, where one was stated.
        coding: of lossy ``codecs``; None where there are none.
        orchestration: what runs the calls; None where nothing is named, or one call is all, and no tensor becomes an
            object.
        network: that it was planned behind, beside the platform's own costs of calls; None where none was stated.
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
    code_ratios: dict[str, float] = field(default_factory=dict)
    slo_ms: float | None = None
    recipes: tuple[InputRecipe, ...] = ()
    cuts: tuple[CutReason, ...] = ()
    tries: tuple[RefineTry, ...] = ()
    ranges: tuple[InputRange, ...] = ()
    beyond: LargerRequest | None = None
    quota_period_ms: float = 20.0
    scale: Scale | None = None
    coding: PlanCoding | None = None
    orchestration: Orchestrated | None = None
    network: Network | None = None
    schema: int = PLAN_SCHEMA

    @property
    def quota_period_us(self) -> int:
        """``quota_period_ms`` for cgroups, which take 1 ms to 1 s; a plan read from a file may hold any value."""
        return round(min(max(self.quota_period_ms, 1.0), 1000.0) * 1e3)
