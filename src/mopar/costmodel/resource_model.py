"""The fitted resource model: what a kernel takes, and what a function needs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mopar.costmodel.forest import Floats, Forest
from mopar.costmodel.samples import MemoryFacts
from mopar.engine.work.common import Work
from mopar.engine.work.families import KernelWork
from mopar.types import Machine, RuntimeCosts

RESOURCES_SCHEMA = 1
WIDE = 1.0
"""Error of the logarithm where nothing was measured: a factor of about 2.7 either way."""
FALLBACK = "other"
"""The family that stands for those that were not measured."""


@dataclass(frozen=True, slots=True)
class Family:
    """Kernels of one family: a roofline, and how far behind it they stay.

    Attributes:
        features: how many features the forests test: those of the work, and the model's working bytes.
        flops_per_ms: of the roofline.
        bytes_per_ms: the same.
        fixed_ms: of a kernel that does nothing.
        operators: of each operator, the logarithm of its time over the family's.
        behind: the logarithm of time over roofline.
        two_threads: the logarithm of the time with two threads over that with one.
        error: standard deviation of the logarithm of measured over predicted, on models left out of the fit.
    """

    features: int
    flops_per_ms: float
    bytes_per_ms: float
    fixed_ms: float
    operators: dict[str, float]
    behind: Forest
    two_threads: Forest
    error: float

    def roofline_ms(self, work: Work) -> float:
        """The least time of a kernel: arithmetic or bytes, and what every kernel takes."""
        return self.fixed_ms + max(work.flops / self.flops_per_ms, work.moved_bytes / self.bytes_per_ms)


@dataclass(frozen=True, slots=True)
class MemoryLaw:
    """Required memory beyond the base, as a sum.

    Attributes:
        resident, table, unread, active, boundary, scratch: MiB per MiB of ``MemoryFacts``.
        kernel_mib: per kernel.
        family_mib: code of each family of kernels.
        fixed_mib: of every function that holds a model.
        error: standard deviation of the logarithm of measured over predicted.
    """

    resident: float
    table: float
    unread: float
    active: float
    boundary: float
    scratch: float
    kernel_mib: float
    family_mib: dict[str, float]
    fixed_mib: float
    error: float

    def required_mib(self, facts: MemoryFacts, base_mib: float) -> float:
        """Required memory of a function; at least the base."""
        held = (
            self.resident * (facts.resident_mib - facts.table_mib)
            + self.table * facts.table_mib
            + self.unread * facts.unread_mib
            + self.active * (facts.active_mib - facts.boundary_mib)
            + self.boundary * facts.boundary_mib
            + self.scratch * facts.scratch_mib
        )
        extra = self.fixed_mib + self.kernel_mib * facts.kernels
        extra += sum(self.family_mib.get(family, 0.0) for family in facts.families)
        return base_mib + max(held + extra, 0.0)


@dataclass(frozen=True, slots=True)
class KernelTime:
    """A predicted kernel: with one thread, with two, and the standard deviation of the first's logarithm."""

    one_ms: float
    two_ms: float
    error: float


@dataclass(frozen=True, slots=True)
class SampleCounts:
    """How many models, kernels and slices a resource model was fitted to."""

    models: int
    kernels: int
    slices: int


NO_SAMPLES = SampleCounts(0, 0, 0)


@dataclass(frozen=True, slots=True)
class ResourceModel:
    """What a machine takes for kernels and functions, fitted.

    Attributes:
        machine: where it was measured.
        date: when (ISO 8601).
        families: by name.
        dispatch_ms: of a whole run, what each kernel adds beyond its own time.
        memory: of functions.
        runtime: what every function pays.
        scaled_to: the machine that a benchmark scaled it to; None where it is its own.
        samples: what it was fitted to.
    """

    machine: Machine
    date: str
    families: dict[str, Family]
    dispatch_ms: float
    memory: MemoryLaw
    runtime: RuntimeCosts
    scaled_to: Machine | None = None
    samples: SampleCounts = NO_SAMPLES
    schema: int = RESOURCES_SCHEMA

    def kernel_times(self, works: Sequence[Work], working_bytes: float) -> list[KernelTime]:
        """Predict kernels of one model.

        A family that was never measured is taken for ``other``, and either has a wide error.

        Args:
            works: what the kernels do.
            working_bytes: weights that a run of the model reads.
        """
        found: list[KernelTime | None] = [None] * len(works)
        by_family: dict[str, list[int]] = {}
        for place, work in enumerate(works):
            by_family.setdefault(work.family, []).append(place)
        for name, places in by_family.items():
            family = self.families.get(name)
            if family is None or name == FALLBACK:
                family, known = self.families[FALLBACK], False
            else:
                known = True
            times = _family_times(family, [works[place] for place in places], working_bytes, known=known)
            for place, time in zip(places, times, strict=True):
                found[place] = time
        assert None not in found
        return [time for time in found if time is not None]


def rows_of(works: Sequence[Work], working_bytes: Sequence[float]) -> list[tuple[float, ...]]:
    """The features that a family's forests test."""
    return [(*work.features, math.log2(1.0 + size)) for work, size in zip(works, working_bytes, strict=True)]


def _family_times(family: Family, works: Sequence[Work], working_bytes: float, *, known: bool) -> list[KernelTime]:
    roofline = [family.roofline_ms(work) for work in works]
    if not known:
        return [KernelTime(ms, ms, max(WIDE, family.error)) for ms in roofline]
    rows = rows_of(works, [working_bytes] * len(works))
    behind: Floats = family.behind.predict(rows)
    both: Floats = family.two_threads.predict(rows)
    times = []
    for place, work in enumerate(works):
        offset = family.operators.get(work.operator)
        one_ms = roofline[place] * math.exp(float(behind[place]) + (offset or 0.0))
        error = family.error if offset is not None else max(WIDE, family.error)
        times.append(KernelTime(one_ms, one_ms * math.exp(float(both[place])), error))
    return times


def layer_sums(kernels: Sequence[KernelWork], values: Sequence[float], layers: int) -> list[float]:
    """Values of kernels added up by layer."""
    sums = [0.0] * layers
    for kernel, value in zip(kernels, values, strict=True):
        if kernel.layer >= 0:
            sums[kernel.layer] += value
    return sums
