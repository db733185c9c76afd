"""What was measured to fit a resource model: kernels and whole runs of models, and functions' memory."""

from collections.abc import Sequence
from dataclasses import dataclass

from mopar.engine.work.common import Work

TIMINGS_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class KernelSample:
    """A kernel inside a whole run.

    Attributes:
        index: of its node in the optimised graph.
        layer: that it counts for; -1 for none.
        work: what it does.
        one_ms: median time with one thread.
        two_ms: the same with two; None where that was not measured.
    """

    index: int
    layer: int
    work: Work
    one_ms: float
    two_ms: float | None


@dataclass(frozen=True, slots=True)
class MemoryFacts:
    """What a function's required memory depends on, apart from the machine's base.

    Attributes:
        resident_mib: weights that stay in memory, packed; tables in full.
        table_mib: of these, tables of which a request gathers rows.
        unread_mib: originals beside their packed copies in the file: reading ahead brings part of them in.
        active_mib: the most that tensors take at a time, boundary tensors throughout.
        boundary_mib: of these, what crosses the function's edges.
        scratch_mib: the largest scratch of a kernel, as far as known.
        kernels: how many nodes the engine runs.
        families: of operators among them, whose code has to be read.
    """

    resident_mib: float
    table_mib: float
    unread_mib: float
    active_mib: float
    boundary_mib: float
    scratch_mib: float
    kernels: int
    families: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KernelTiming:
    """A kernel as it ran.

    Attributes:
        key: what tells it from the others of its graph (see ``kernel_keys``).
        one_ms: median time with one thread.
        two_ms: the same with two; None where that was not measured.
    """

    key: tuple[str, ...]
    one_ms: float
    two_ms: float | None


@dataclass(frozen=True, slots=True)
class SliceMemory:
    """Required memory of layers ``start`` to ``stop`` (exclusive) as a function, measured."""

    start: int
    stop: int
    required_mib: float


@dataclass(frozen=True, slots=True)
class Timings:
    """What a run of a model showed; it holds however its kernels are described.

    Attributes:
        name: of the model.
        kernels: each with its time.
        one_ms: latency of a whole run with one thread, without the profiler.
        two_ms: the same with two threads; None where that was not measured.
        memory: of the whole and of slices.
        base_mib: required memory of a function that does nothing, as it was then.
    """

    name: str
    kernels: tuple[KernelTiming, ...]
    one_ms: float
    two_ms: float | None
    memory: tuple[SliceMemory, ...] = ()
    base_mib: float = 0.0
    schema: int = TIMINGS_SCHEMA


@dataclass(frozen=True, slots=True)
class MemoryLabel:
    """What a slice's function holds, and its required memory as measured."""

    start: int
    stop: int
    facts: MemoryFacts
    required_mib: float


@dataclass(frozen=True, slots=True)
class ModelSamples:
    """What was measured of one model, beside what is known of it without running it.

    Attributes:
        name: of the model.
        layers: how many it has.
        working_bytes: weights that a run reads.
        kernels: those that were timed.
        timings: of the whole.
        memory: of the whole and of slices.
        unmatched: kernels that ran, but that the description without a run does not have.
        family: of models like it, which fits leave out together; empty for a model of its own.
    """

    name: str
    layers: int
    working_bytes: float
    kernels: tuple[KernelSample, ...]
    timings: Timings
    memory: tuple[MemoryLabel, ...] = ()
    unmatched: int = 0
    family: str = ""

    @property
    def left_out_with(self) -> str:
        """What models have in common that are left out of a fit together."""
        return self.family or self.name

    def span_ms(self, start: int, stop: int, kernel_ms: Sequence[float]) -> float:
        """Sum over the kernels of layers ``start`` to ``stop`` (exclusive)."""
        return sum(ms for kernel, ms in zip(self.kernels, kernel_ms, strict=True) if start <= kernel.layer < stop)
