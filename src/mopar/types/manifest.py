"""The manifest of a bundle: its plan, its files with their digests, and the interface of each graph."""

from dataclasses import dataclass, field

from mopar.types.plan import Call, Plan
from mopar.types.tensor import TensorSpec

MANIFEST_SCHEMA = 2


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of the bundle: a relative path, its size and its SHA-256."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How ONNX Runtime loads and runs a graph.

    Attributes:
        optimize: ``all`` at load, or ``none`` where the file is optimised already.
        prepack: whether weights are packed at load (no effect on weights that are packed in the file).
        arena: whether ONNX Runtime's own memory arena is used.
        memory_pattern: whether activations are allocated in one planned block.
    """

    optimize: str = "all"
    prepack: bool = True
    arena: bool = True
    memory_pattern: bool = True


PACKED_OPTIONS = EngineOptions(optimize="none", prepack=True, arena=False, memory_pattern=False)
"""Options for a prepacked graph. Arena and memory pattern are off because both round allocations up; with the
allocator settings of ``mopar.runtime.environment`` a worker is as fast without them."""
PORTABLE_OPTIONS = EngineOptions(optimize="all", prepack=True, arena=False, memory_pattern=False)
"""Options for a portable graph, which is optimised and packed while it is loaded."""


@dataclass(frozen=True, slots=True)
class PackedEntry:
    """A graph optimised and prepacked ahead of time for one kind of CPU and engine."""

    cpu_kind: str
    onnxruntime: str
    options: EngineOptions
    files: tuple[FileEntry, ...]


@dataclass(frozen=True, slots=True)
class GraphEntry:
    """A graph that ``function`` holds; each of its inputs is one contiguous range of bytes.

    ``files[0]`` is the portable ONNX file, the rest its external data; ``packed`` is the form that
    runs where the CPU is of the same kind.
    """

    id: str
    function: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    files: tuple[FileEntry, ...]
    options: EngineOptions
    packed: PackedEntry | None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A bundle's table of contents.

    ``inputs`` and ``outputs`` are those of the unsplit model, with symbolic dimensions. ``calls`` are the plan's
    calls in the form that workers take: each input has one source, and a region only where that region is
    contiguous in memory; their graphs are ids of ``graphs``. ``allocator`` is what functions do with freed memory, one
    of ``mopar.runtime.environment.ALLOCATORS``. ``codes`` has, for each tensor that is sent encoded, the ends of the
    names of the tensors that are sent in its place.
    """

    name: str
    plan: Plan
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    graphs: tuple[GraphEntry, ...]
    calls: tuple[Call, ...]
    mopar: str
    allocator: str = "keeping"
    codes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    schema: int = MANIFEST_SCHEMA
