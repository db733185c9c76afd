"""The slices that a plan may consist of, their sizes and numbers of parts: the question as arrays for the search."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mopar.planning.model.cost_model import CostModel
from mopar.planning.model.objects import request_objects_usd
from mopar.planning.model.table import SliceTable, slice_table
from mopar.planning.numbers import Mask
from mopar.planning.solve.bounds import SliceLimit
from mopar.planning.solve.chains import Chain, Chains, HeldPrice
from mopar.planning.solve.paths import Edge
from mopar.planning.space.groups import Group, groups_of
from mopar.planning.space.question import Question
from mopar.planning.space.sizes import SizeCatalog, Sizes
from mopar.planning.space.solution import Solution
from mopar.types import ShardStep

MAX_START = "max_start_ms"


@dataclass(frozen=True, slots=True)
class SliceSizes:
    """Sizes of slices: of one function by the catalog, of groups by ``Group``."""

    catalog: SizeCatalog
    groups: tuple[Group, ...]

    def __call__(self, edge: Edge, /) -> Sizes:
        """Sizes of a slice in one of its options."""
        option, start, stop = edge
        return self.groups[option - 1].sizes(start, stop) if option else self.catalog.sizes(start, stop)


@dataclass(frozen=True, slots=True)
class Problem:
    """Slices between ``positions``, by matrix.

    Attributes:
        question: the one it follows from.
        positions: layers where slices may start and stop.
        candidates: slices that may be used at all: forward, and where cuts are given, those between them.
        limits: that each slice of one function must keep.
        groups: slices as several parallel functions, for each number of them.
        sizes: the useful sizes of a slice in one of its options.
        chains: the same as the input of the search.
    """

    question: Question
    positions: tuple[int, ...]
    candidates: Mask
    limits: tuple[SliceLimit, ...]
    groups: tuple[Group, ...]
    sizes: SliceSizes
    chains: Chains

    @property
    def end(self) -> int:
        """Number of the last position."""
        return len(self.positions) - 1

    def allows(self, edge: Edge) -> bool:
        """Whether a slice keeps all limits in one of its options."""
        return bool(np.isfinite(self.chains.latency_ms[edge]))

    def steps_of(self, start: int, stop: int, parts: int) -> tuple[ShardStep, ...]:
        """Steps of a slice of ``parts`` functions; none where it is one function."""
        return next((group.path(start, stop) for group in self.groups if group.parts == parts), ())

    def solution(self, chain: Chain) -> Solution:
        """A search result with sizes in place of their numbers."""
        slices = []
        for (option, start, stop), pick in chain.slices:
            size = self.sizes((option, start, stop)).at(pick)
            slices.append((start, stop, replace(size, parts=self.chains.functions[option])))
        return Solution(tuple(slices), chain.cost_usd, chain.latency_ms, chain.grid_ms)

    def with_question(self, question: Question) -> "Problem":
        """The same slices for another objective or budget."""
        return replace(self, question=question)

    def split(self) -> "Problem":
        """The same without the unsplit model."""
        kept = np.ones_like(self.candidates)
        kept[0, self.end] = False
        return replace(self, candidates=self.candidates & kept, chains=self.chains.split())

    def at_most(self, functions: int) -> "Problem":
        """The same with at most so many functions."""
        return replace(self, chains=replace(self.chains, most_functions=functions))


def free_problem(question: Question, positions: Sequence[int]) -> Problem:
    """The problem with free cuts at any of ``positions``, where slices may be groups."""
    count = len(positions)
    table = slice_table(question.model, positions)
    forward = np.triu(np.ones((count, count), dtype=bool), k=1)
    return _problem(question, table, forward, groups_of(question, table))


def fixed_problem(question: Question, positions: Sequence[int]) -> Problem:
    """The problem with cuts at each of ``positions``, where each slice is one function."""
    table = slice_table(question.model, positions)
    return _problem(question, table, np.eye(len(positions), k=1, dtype=bool))


def unlimited_whole(question: Question) -> Problem:
    """The unsplit model without limits: its figures are known even where it is forbidden."""
    table = slice_table(question.model, question.unsplit)
    limits = replace(question.model.limits, max_start_ms=None)
    free = replace(question, model=replace(question.model, limits=limits), max_functions=None)
    return _problem(free, table, np.eye(2, k=1, dtype=bool), limited=False)


def _problem(
    question: Question, table: SliceTable, candidates: Mask, groups: tuple[Group, ...] = (), *, limited: bool = True
) -> Problem:
    """The problem of choosing among the ``candidates`` of a table; without ``limited``, slices keep no limit."""
    catalog = SizeCatalog(question, table)
    limits = _slice_limits(question, table, catalog) if limited else ()
    allowed = candidates.copy()
    for limit in limits:
        allowed &= limit.kept
    usd, ms = (np.where(allowed, figures, np.inf) for figures in catalog.bounds())

    sold, sizes = catalog.sold, SliceSizes(catalog, groups)
    chains = Chains(
        cost_usd=np.stack([usd, *(group.cost_usd for group in groups)]),
        latency_ms=np.stack([ms, *(group.latency_ms for group in groups)]),
        functions=(1, *(group.parts for group in groups)),
        sizes=sizes,
        most_functions=question.max_functions,
        sold_usd=None if sold is None else sold.cost_usd,
        sold_ms=None if sold is None else sold.latency_ms,
        held=held_of(question.model),
    )
    return Problem(question, table.positions, candidates, limits, groups, sizes, chains)


def held_of(model: CostModel) -> HeldPrice | None:
    """The price of what runs a plan of several functions, without the objects of its slices; None for nothing."""
    by = model.book.orchestrator
    if by is None:
        return None
    # Of the request's own tensors, what is charged whether or not the model is split is charged to slices.
    objects_usd = request_objects_usd(model, by) - request_objects_usd(model, None)
    held = HeldPrice(by.request_usd + objects_usd, by.usd_per_ms, by.billing_unit_ms)
    return held if held.request_usd > 0 or held.usd_per_ms > 0 else None


def _slice_limits(question: Question, table: SliceTable, catalog: SizeCatalog) -> tuple[SliceLimit, ...]:
    limits, needs = question.model.limits, table.needs
    kept = [SliceLimit("memory_mib", question.model.book.memory_max_mib, catalog.floor_mib)]
    if limits.payload_bytes is not None:
        body = np.maximum(needs.input_bytes, needs.output_bytes) * limits.payload_factor
        kept.append(SliceLimit("payload_bytes", limits.payload_bytes, body))
    if limits.package_bytes is not None:
        package = needs.file_bytes + limits.package_base_bytes
        kept.append(SliceLimit("package_bytes", limits.package_bytes, package))
    if limits.max_start_ms is not None:
        kept.append(SliceLimit(MAX_START, limits.max_start_ms, catalog.least_start_ms()))
    return tuple(kept)
