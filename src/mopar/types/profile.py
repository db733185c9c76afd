"""What was measured of a model: the only thing that the planner sees of it."""

from dataclasses import dataclass

from mopar.types.patterns import Patterns
from mopar.types.ranges import InputRange
from mopar.types.shards import ShardStep
from mopar.types.tensor import TensorSpec

PROFILE_SCHEMA = 4
PARTS = (2, 4)
"""Numbers of parts that a profile looks at."""
COLD_HALF_MS = 4.0
"""Computing for so long costs half of ``RuntimeCosts.cold_ms``: so took the zoo's slices of 0.1 to 40 ms."""
IDLE_HALF_MS = 1.5
"""While others compute for so long, caches get half as cold as ever and cores half as sleepy: ``benchmarks.slices``."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a measurement was made. ``cpu_kind`` names what packed weights belong to."""

    cpu_model: str
    cpu_kind: str
    cores: int
    memory_mib: int
    kernel: str
    python: str
    onnxruntime: str
    mopar: str


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The model's identity. ``graph_sha256`` is over the canonical form, weights included."""

    name: str
    sha256: str
    graph_sha256: str
    opset: int
    parameters: int
    weight_bytes: int


@dataclass(frozen=True, slots=True)
class InputRecipe:
    """How one input of the measured run was made.

    Attributes:
        name: the input.
        dtype: its element type.
        shape: the measured point.
        source: ``normal``, ``integers``, ``ones`` (masks), ``strings``, or ``file``.
        seed: of the random generator; None for ``file``.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    source: str
    seed: int | None


@dataclass(frozen=True, slots=True)
class TensorProfile:
    """A tensor that crosses at least one cut position, an input or an output of the model.

    Attributes:
        name: its name in the graph.
        dtype: element type.
        shape: at the measured point.
        bytes: at the measured point.
        producer: index of the layer that makes it; -1 for an input of the request.
        consumers: indices of the layers that read it; the number of layers stands for the response.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    producer: int
    consumers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WeightProfile:
    """A weight, once, however many nodes share it.

    Attributes:
        name: the initializer.
        bytes: as stored in the model.
        resident_bytes: what the engine keeps of it in memory at run time (packed copies included,
            an original that only its packed copy replaces left out).
        file_bytes: what it takes in the built, prepacked file.
    """

    name: str
    bytes: int
    resident_bytes: int
    file_bytes: int


@dataclass(frozen=True, slots=True)
class LayerProfile:
    """The smallest unit that the planner moves.

    Attributes:
        index: position in the topological order.
        nodes: names of the canonical graph's nodes.
        operators: their operator types, in order.
        weights: names of the weights that they read.
        latency_ms: median time inside the whole optimised run.
        spread_ms: interquartile range of the same samples.
        weight_bytes: unpacked bytes of ``weights``.
        activation_bytes: largest sum of tensors that are live while one of its nodes runs.
        workspace_bytes: scratch that its kernels ask the engine for beyond live tensors; what they take by
            themselves is not known.
        two_threads: its time with two threads over that with one, each with its part of what no layer claims; None
            where it is not known.
    """

    index: int
    nodes: tuple[str, ...]
    operators: tuple[str, ...]
    weights: tuple[str, ...]
    latency_ms: float
    spread_ms: float
    weight_bytes: int
    activation_bytes: int
    workspace_bytes: int = 0
    two_threads: float | None = None


@dataclass(frozen=True, slots=True)
class CutPosition:
    """A place between layers ``index - 1`` and ``index``: what is live across it.

    Attributes:
        index: 1 .. number of layers - 1.
        tensors: names of the boundary tensors.
        bytes: their sum.
        overhead_ms: time that cutting here adds beyond the hop itself: broken fusions and layout
            changes, as far as measured.
    """

    index: int
    tensors: tuple[str, ...]
    bytes: int
    overhead_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class WholeProfile:
    """The unsplit model, tuned: one worker, one CPU.

    Attributes:
        latency_ms: median engine time of a run.
        spread_ms: interquartile range.
        memory_mib: required memory of the whole as one function (DESIGN.md, section 4).
        init_ms: from exec to ready.
        unattributed_ms: latency that no layer claims.
    """

    latency_ms: float
    spread_ms: float
    memory_mib: float
    init_ms: float
    unattributed_ms: float


@dataclass(frozen=True, slots=True)
class MemorySample:
    """Required memory of layers ``start`` to ``stop`` (exclusive) as a function of their own, measured."""

    start: int
    stop: int
    required_mib: float


@dataclass(frozen=True, slots=True)
class SizePoint:
    """The model at other sizes of its inputs than the measured point.

    Attributes:
        shapes: of each input, by name.
        latency_ms: engine time of a run of the whole model; None where it was not timed.
        memory_mib: required memory of the whole as one function: measured at the largest sizes, elsewhere from bytes.
        tensor_bytes: of each of the profile's tensors, in their order.
        layer_bytes: of each layer, ``activation_bytes`` and ``workspace_bytes`` together.
    """

    shapes: dict[str, tuple[int, ...]]
    latency_ms: float | None
    memory_mib: float
    tensor_bytes: tuple[int, ...]
    layer_bytes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MachineLoad:
    """What else the machine did while layers were timed, as shares from 0 to 1.

    Attributes:
        lost: of the runs' time, the part in which another process had the core.
        others_busy: of the other cores' time, the part in which they were busy.
        spread: interquartile range of the whole's latency over its median.
    """

    lost: float = 0.0
    others_busy: float = 0.0
    spread: float = 0.0


@dataclass(frozen=True, slots=True)
class RuntimeCosts:
    """What every function pays on this machine, measured.

    Attributes:
        base_mib: required memory of a worker whose graph does nothing.
        hop_ms: what one more function that computes next to nothing adds to a request: frames, waking up.
        hop_billed_ms: the part of it that passes inside the function.
        wire_ms_per_mib: added time per MiB of a tensor that crosses, in shared memory.
        init_ms: from exec to ready, without weights.
        cold_call_ms: what a call takes more inside a function while others have emptied the caches, however little it
            computes. Of this and of ``wake_ms``, one for ``t`` of the model's ``T`` ms pays ``(T - t) / (T - t +
            IDLE_HALF_MS)``.
        cold_ms: what one that computes for long takes beyond that: ``t / (t + COLD_HALF_MS) * (T - t) / T`` of it.
        wake_ms: what a call takes more outside a function while others compute: cores go to sleep.
        exchange_ms: what one more step adds to a request that several functions compute side by side; None where it
            is not known, and every step is taken to cost a call.
    """

    base_mib: float
    hop_ms: float
    hop_billed_ms: float
    wire_ms_per_mib: float
    init_ms: float
    cold_call_ms: float = 0.0
    cold_ms: float = 0.0
    wake_ms: float = 0.0
    exchange_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """A model measured on a machine at one point of its input shapes, and what it takes at the ends of their ranges.

    Times, and the bytes of tensors and layers, are those of the point. ``ranges`` are the sizes that a service must
    answer; required memory (of ``whole`` and ``samples``, and of parts) is that of the largest of them. ``smallest``
    and ``largest`` tell the model at the ends of a range that was stated; None where they are the point. Where only a
    point was given, ``beyond`` tells what requests of twice its sizes would take; None where the model refuses them.

    ``inputs`` and ``outputs`` keep symbolic dimensions; ``tensors`` have the measured point's.
    ``cpu`` is the share of one CPU under which it was measured. ``samples`` are slices of about equal
    time whose memory was measured, which tells what functions of this model need beyond their tensors.
    ``source`` is ``measured``, or ``predicted`` where nothing ran: ``spread_ms`` is then how far off a prediction may
    be, and ``assumed`` names tensors whose size depends on values, so that a bound stands in its place.
    ``patterns`` are read off the layers; None only while a profile is in the making. ``shards`` are runs of layers
    that parts could compute side by side. ``load`` is what else the machine did meanwhile; None where nothing
    was timed.
    """

    model: ModelInfo
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    tensors: tuple[TensorProfile, ...]
    weights: tuple[WeightProfile, ...]
    layers: tuple[LayerProfile, ...]
    cut_positions: tuple[CutPosition, ...]
    whole: WholeProfile
    runtime: RuntimeCosts
    recipes: tuple[InputRecipe, ...]
    machine: Machine
    cpu: float = 1.0
    samples: tuple[MemorySample, ...] = ()
    source: str = "measured"
    assumed: tuple[str, ...] = ()
    patterns: Patterns | None = None
    shards: tuple[ShardStep, ...] = ()
    ranges: tuple[InputRange, ...] = ()
    smallest: SizePoint | None = None
    largest: SizePoint | None = None
    beyond: SizePoint | None = None
    load: MachineLoad | None = None
    schema: int = PROFILE_SCHEMA
