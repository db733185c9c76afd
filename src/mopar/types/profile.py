"""Profiles: everything that the planner knows about a model."""

from dataclasses import dataclass

from mopar.types.layers import CutPosition, LayerProfile, TensorProfile, WeightProfile
from mopar.types.patterns import Patterns
from mopar.types.ranges import InputRange
from mopar.types.shards import ShardStep
from mopar.types.tensor import TensorSpec

PROFILE_SCHEMA = 4
PARTS = (2, 4)
"""Numbers of parts for which a profile searches sharding steps."""
COLD_HALF_MS = 4.0
"""Computing for so long costs half of ``RuntimeCosts.cold_ms``, as slices of the zoo of 0.1 to 40 ms showed."""
IDLE_HALF_MS = 1.5
"""Idle for so long, a call pays half of the most that cold caches and idle cores cost: ``benchmarks.slices``."""


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
    """Measured required memory of layers ``start`` to ``stop`` (exclusive) as one function."""

    start: int
    stop: int
    required_mib: float


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
        hop_ms: what one more function in a chain, which computes next to nothing, adds to a request: frames, and waking
            a worker.
        hop_billed_ms: the part of it that passes inside the function.
        wire_ms_per_mib: added time per MiB of a tensor that crosses, in shared memory.
        init_ms: from exec to ready, without weights.
        cold_call_ms: cold-cache penalty of a call: what it takes more inside a function while others use the caches,
            however little it computes. Of this and of ``wake_ms``, one for ``t`` of the model's ``T`` ms pays
            ``(T - t) / (T - t + IDLE_HALF_MS)``.
        cold_ms: cold-cache penalty of computing, beyond that of the call: ``t / (t + COLD_HALF_MS) * (T - t) / T`` of
            it is paid.
        wake_ms: idle wake-up latency: what a call takes more outside a function because cores entered an idle state
            while others computed.
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
