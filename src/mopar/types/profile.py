"""Profiles: everything that the planner knows about a model."""

from dataclasses import dataclass

from mopar.types.patterns import Patterns
from mopar.types.ranges import InputRange
from mopar.types.shards import ShardStep
from mopar.types.tensor import TensorSpec

PROFILE_SCHEMA = 4
PARTS = (2, 4)
"""Numbers of parts for which a profile searches sharding steps."""
COLD_HALF_MS = 4.0
"""Compute time at which a call pays half of ``RuntimeCosts.cold_ms``; fitted to zoo slices of 0.1 to 40 ms."""
IDLE_HALF_MS = 1.5
"""Compute time of other functions after which a call pays half of the cold-cache penalty and of the idle wake-up
latency (``python -m benchmarks.slices``)."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine that a measurement was made on. ``cpu_kind`` decides whether packed weights can be loaded."""

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
    """The model's identity. ``graph_sha256`` is the digest of the canonical form, weights included."""

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
        name: name of the input.
        dtype: its element type.
        shape: its shape in the measured run.
        source: ``normal``, ``integers``, ``ones`` (masks), ``strings``, or ``file``.
        seed: seed of the random generator; None for ``file``.
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
        shape: shape at the measured point.
        bytes: size at the measured point.
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
    """A weight; one that several nodes share is listed once.

    Attributes:
        name: name of the initializer.
        bytes: size as stored in the model.
        resident_bytes: memory that the engine uses for it at run time (packed copies included; an original that
            is only read through its packed copy excluded).
        file_bytes: size in the built, prepacked file.
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
        nodes: names of its nodes in the canonical graph.
        operators: their operator types, in order.
        weights: names of the weights that they read.
        latency_ms: median time within a run of the whole optimised model.
        spread_ms: interquartile range of the same samples.
        weight_bytes: unpacked bytes of ``weights``.
        activation_bytes: largest sum of tensors that are live while one of its nodes runs.
        workspace_bytes: scratch memory that its kernels allocate through the engine, beyond live tensors; memory
            that kernels allocate past the engine is not known.
        two_threads: its time with two threads divided by its time with one, both including its share of
            ``unattributed_ms``; None where it is not known.
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
    """A place between layers ``index - 1`` and ``index``, and its boundary.

    Attributes:
        index: 1 .. number of layers - 1.
        tensors: names of the boundary tensors: those that are live across the cut.
        bytes: their total size.
        overhead_ms: time that cutting here adds besides the call itself: broken fusions and memory-layout
            changes, as far as measured.
    """

    index: int
    tensors: tuple[str, ...]
    bytes: int
    overhead_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class WholeProfile:
    """The tuned unsplit model in one worker with one CPU.

    Attributes:
        latency_ms: median engine time of a run.
        spread_ms: interquartile range of the same samples.
        memory_mib: required memory of the model as one function (docs/measuring.md).
        init_ms: time from exec to ready.
        unattributed_ms: latency that is not attributed to any layer.
    """

    latency_ms: float
    spread_ms: float
    memory_mib: float
    init_ms: float
    unattributed_ms: float


@dataclass(frozen=True, slots=True)
class MemorySample:
    """Measured required memory of layers ``start`` to ``stop`` (exclusive) as one function.

    A slice that was measured in another order of the layers may be several ranges of the canonical order: it is
    recorded as that many samples, and ``runs`` is their number.
    """

    start: int
    stop: int
    required_mib: float
    runs: int = 1


@dataclass(frozen=True, slots=True)
class SizePoint:
    """Figures of the model at input sizes other than the measured point.

    Attributes:
        shapes: shape of each input, by name.
        latency_ms: engine time of a run of the unsplit model; None where it was not timed.
        memory_mib: required memory of the unsplit model: measured at the largest sizes, computed from tensor bytes
            elsewhere.
        tensor_bytes: size of each of the profile's tensors, in their order.
        layer_bytes: ``activation_bytes + workspace_bytes`` of each layer.
    """

    shapes: dict[str, tuple[int, ...]]
    latency_ms: float | None
    memory_mib: float
    tensor_bytes: tuple[int, ...]
    layer_bytes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MachineLoad:
    """Load of the machine by other processes while layers were timed, as shares from 0 to 1.

    Attributes:
        lost: share of the measured time in which another process ran on the core.
        others_busy: share of time in which the other cores were busy.
        spread: interquartile range of the unsplit model's latency divided by its median.
    """

    lost: float = 0.0
    others_busy: float = 0.0
    spread: float = 0.0


@dataclass(frozen=True, slots=True)
class RuntimeCosts:
    """Measured overhead of functions and calls on this machine.

    A call that computes for ``t`` ms of the model's ``T`` ms pays ``(T - t) / (T - t + IDLE_HALF_MS)`` of
    ``cold_call_ms`` and of ``wake_ms``, and ``t / (t + COLD_HALF_MS) * (T - t) / T`` of ``cold_ms``.

    Attributes:
        base_mib: required memory of a worker whose graph does nothing.
        hop_ms: latency that one more function with next to no work adds to a request: frames and wake-up.
        hop_billed_ms: the part of ``hop_ms`` that passes inside the function.
        wire_ms_per_mib: added time per MiB of a boundary tensor in shared memory.
        init_ms: time from exec to ready, without weights.
        cold_call_ms: cold-cache penalty of a call, inside the function, however little the call computes.
        cold_ms: further cold-cache penalty of a call that computes for long.
        wake_ms: idle-state wake-up latency of a call, outside the function.
        exchange_ms: latency that one more sharding step adds to a request; None where it is not known, and every
            step is taken to cost a call.
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
    """A model measured on one machine at one point of its input shapes, and at the ends of their ranges.

    Times, and the bytes of tensors and layers, are those at the measured point. ``ranges`` are the sizes that a
    service must answer; required memory (of ``whole``, ``samples`` and parts) is that of the largest sizes.
    ``smallest`` and ``largest`` describe the ends of a stated range; None where they equal the measured point.
    Where only a point was given, ``beyond`` describes requests of twice its sizes; None where the model refuses them.

    ``inputs`` and ``outputs`` keep symbolic dimensions; ``tensors`` have the sizes of the measured point.
    ``cpu`` is the share of one CPU under which it was measured. ``samples`` are slices of about equal time whose
    required memory was measured: from them follows what functions of this model need beyond their tensors.
    ``source`` is ``measured``, or ``predicted`` where nothing was run: ``spread_ms`` is then the expected error of a
    prediction, and ``assumed`` names tensors whose size depends on values and for which an upper bound is used.
    ``patterns`` follow from the layers; None only while a profile is being assembled. ``shards`` are the sharding
    steps that the planner can choose from. ``load`` is None where nothing was timed.
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
