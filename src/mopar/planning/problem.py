"""One planning question as the search sees it: slices that are allowed, what they cost, and the limits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mopar.planning.arithmetic import Floats, call_costs
from mopar.planning.groups import Group, groups_of
from mopar.planning.paths import Edge
from mopar.planning.sizes import Sizes, Sizing
from mopar.planning.table import SliceTable, slice_table
from mopar.types import PlatformLimits, ShardStep

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SliceLimit:
    """A limit that each slice must keep by itself: ``quantity`` (per slice) at most ``value``."""

    name: str
    value: float
    quantity: Floats


@dataclass(frozen=True, slots=True)
class Problem:
    """Slices between ``table.positions``, by matrix.

    Attributes:
        sizing: how memory and CPU are bought.
        table: what each slice needs.
        menu: of each slice, a size for each number of CPUs; None where memory buys CPU.
        candidates: slices that may be used at all: forward, and where cuts are given, those between them.
        limits: of each slice.
        allowed: candidates that keep all limits.
        cost_usd, latency_ms: bounds of ``Sizing.bounds``; infinite where not allowed.
        max_functions: None for no limit.
        groups: slices as several functions side by side, for each number of them.
    """

    sizing: Sizing
    table: SliceTable
    menu: Sizes | None
    candidates: Mask
    limits: tuple[SliceLimit, ...]
    allowed: Mask
    cost_usd: Floats
    latency_ms: Floats
    max_functions: int | None
    groups: tuple[Group, ...] = ()

    @property
    def each(self) -> tuple[int, ...]:
        """How many functions a slice is, by way: one, then as many as each group has parts."""
        return (1, *(group.parts for group in self.groups))

    @property
    def costs_usd(self) -> Floats:
        """Of each slice in each way: ways x positions x positions."""
        return np.stack([self.cost_usd, *(group.cost_usd for group in self.groups)])

    @property
    def latencies_ms(self) -> Floats:
        """As ``costs_usd``."""
        return np.stack([self.latency_ms, *(group.latency_ms for group in self.groups)])

    @property
    def end(self) -> int:
        """Number of the last position."""
        return len(self.table.positions) - 1

    def sizes(self, start: int, stop: int) -> Sizes:
        """The sizes of a slice worth choosing from."""
        return self.sizing.sizes(self.table, self.menu, start, stop)

    def sizes_of(self, edge: Edge) -> Sizes:
        """The sizes of a slice in one of its ways."""
        way, start, stop = edge
        return self.groups[way - 1].sizes(start, stop) if way else self.sizes(start, stop)

    def allows(self, edge: Edge) -> bool:
        """Whether a slice keeps all limits in one of its ways."""
        way, start, stop = edge
        allowed = np.isfinite(self.groups[way - 1].latency_ms) if way else self.allowed
        return bool(allowed[start, stop])

    def steps_of(self, start: int, stop: int, parts: int) -> tuple[ShardStep, ...]:
        """What ``parts`` functions compute of a slice side by side; nothing where it is one function."""
        return next((group.path(start, stop) for group in self.groups if group.parts == parts), ())

    def only(self, mask: Mask) -> "Problem":
        """The same question with fewer slices allowed as one function."""
        return replace(
            self,
            candidates=self.candidates & mask,
            allowed=self.allowed & mask,
            cost_usd=np.where(mask, self.cost_usd, np.inf),
            latency_ms=np.where(mask, self.latency_ms, np.inf),
        )


def make_problem(
    sizing: Sizing,
    limits: PlatformLimits,
    positions: Sequence[int],
    *,
    max_functions: int | None,
    fixed: bool = False,
    limited: bool = True,
    in_parts: bool = False,
    max_parts: int | None = None,
) -> Problem:
    """The question of cutting at some of ``positions``, or, where ``fixed``, at every one of them.

    Without ``limited``, slices keep no limit: what the unsplit model would take can be said even where it is forbidden.
    ``in_parts``, slices may also be several functions side by side, at most ``max_parts``.
    """
    table = slice_table(sizing.profile, call_costs(sizing.profile, limits), positions)
    count = len(positions)
    candidates = np.eye(count, k=1, dtype=bool) if fixed else np.triu(np.ones((count, count), dtype=bool), k=1)
    made = problem_of(sizing, limits, table, candidates, max_functions=max_functions, limited=limited)
    if not in_parts:
        return made
    most = min((number for number in (max_functions, max_parts) if number is not None), default=None)
    return replace(made, groups=groups_of(sizing, limits, table, most))


def problem_of(
    sizing: Sizing,
    limits: PlatformLimits,
    table: SliceTable,
    candidates: Mask,
    *,
    max_functions: int | None,
    limited: bool = True,
) -> Problem:
    """The question of which of the ``candidates`` in a table to use; otherwise as ``make_problem``."""
    kept = _slice_limits(sizing, limits, table) if limited else ()
    allowed = candidates.copy()
    for limit in kept:
        allowed &= limit.quantity <= limit.value
    menu = sizing.menu(table)
    cost_usd, latency_ms = sizing.bounds(table, menu)
    return Problem(
        sizing=sizing,
        table=table,
        menu=menu,
        candidates=candidates,
        limits=kept,
        allowed=allowed,
        cost_usd=np.where(allowed, cost_usd, np.inf),
        latency_ms=np.where(allowed, latency_ms, np.inf),
        max_functions=max_functions,
    )


def _slice_limits(sizing: Sizing, limits: PlatformLimits, table: SliceTable) -> tuple[SliceLimit, ...]:
    kept = [SliceLimit("memory_mib", sizing.book.memory_max_mib, sizing.floor_mib(table.memory_mib))]
    if limits.payload_bytes is not None:
        body = np.maximum(table.input_bytes, table.output_bytes) * limits.payload_factor
        kept.append(SliceLimit("payload_bytes", limits.payload_bytes, body))
    if limits.package_bytes is not None:
        kept.append(SliceLimit("package_bytes", limits.package_bytes, table.file_bytes + limits.package_base_bytes))
    return tuple(kept)
