"""The cheapest chain with latencies in cells: dynamic programming over (functions, position, time left).

Every slice's latency is rounded up to whole cells, so a chain that is found keeps its limit, and it is the best one of
those whose rounded latencies do. Takes time in proportion to slices x sizes x functions x cells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mopar.planning.numbers import TOLERANCE, Floats
from mopar.planning.solve.paths import ONE_FUNCTION, Edge

SizedPath = list[tuple[Edge, int]]
"""Slices, each with the number of its size."""


@dataclass(frozen=True, slots=True)
class GridSize:
    """A size of a slice: its weight in the objective, and its latency in cells of the grid."""

    pick: int
    weight: float
    cells: int


def grid_sizes(weight: Floats, latency_ms: Floats, grid_ms: float) -> tuple[GridSize, ...]:
    """The sizes of a slice that no other size dominates in weight and cells; without a grid, that of least weight."""
    cells = np.ceil(latency_ms / grid_ms - TOLERANCE).astype(int) if grid_ms > 0 else np.zeros(len(weight), dtype=int)
    order = np.lexsort((weight, cells))
    least = np.inf
    found = []
    for pick in order.tolist():
        if weight[pick] < least:
            least = float(weight[pick])
            found.append(GridSize(pick, least, int(cells[pick])))
    return tuple(found)


def best_chain(
    end: int,
    slices: Mapping[Edge, Sequence[GridSize]],
    cells: int,
    functions: int | None,
    each: tuple[int, ...] = ONE_FUNCTION,
) -> tuple[float, SizedPath] | None:
    """The chain of least weight from position 0 to ``end`` within ``cells``; None where there is none.

    Args:
        end: the last position.
        slices: sizes of each slice that may be used.
        cells: most of them that the chain may take.
        functions: most of them; None for any number.
        each: how many functions a slice is, by option.
    """
    following: list[list[_Following]] = [[] for _ in range(end + 1)]
    for (option, start, stop), choices in slices.items():
        following[start].append((option, stop, choices))
    # By position, then functions left (where their number is limited; otherwise a single row), then cells left.
    counted = each if functions is not None else (0,) * len(each)
    to_go = np.full((end + 1, 1 if functions is None else functions + 1, cells + 1), np.inf)
    to_go[end, 0] = 0.0
    spare = np.empty_like(to_go[0])
    for position in range(end - 1, -1, -1):
        for option, stop, choices in following[position]:
            rows = to_go.shape[1] - counted[option]
            for size in choices if rows > 0 else ():
                _relax(to_go[position, counted[option] :], to_go[stop, :rows], size, spare)
    row = int(np.argmin(to_go[0, :, cells]))
    if not np.isfinite(to_go[0, row, cells]):
        return None
    return float(to_go[0, row, cells]), _walk(to_go, following, row, cells, counted)


_Following = tuple[int, int, Sequence[GridSize]]
"""A slice's option and stop, and its sizes."""


def _relax(best: Floats, after: Floats, size: GridSize, spare: Floats) -> None:
    """Least weight from a position, for every number of functions and cells left, by one slice at one size."""
    width = best.shape[1] - size.cells
    if width > 0:
        reached = best[:, size.cells :]
        through = np.add(after[:, :width], size.weight, out=spare[: len(best), :width])
        np.minimum(reached, through, out=reached)


def _walk(
    to_go: Floats, following: Sequence[Sequence[_Following]], row: int, cells: int, counted: tuple[int, ...]
) -> SizedPath:
    """Recover the slices of the path of least weight from position 0."""
    end = len(to_go) - 1
    position, chain = 0, []
    while position != end:
        option, stop, size = min(
            (
                (option, stop, size)
                for option, stop, choices in following[position]
                for size in choices
                if size.cells <= cells and counted[option] <= row
            ),
            key=lambda choice: _through(to_go, choice, row - counted[choice[0]], cells),
        )
        chain.append(((option, position, stop), size.pick))
        position, cells, row = stop, cells - size.cells, row - counted[option]
    return chain


def _through(to_go: Floats, choice: tuple[int, int, GridSize], row: int, cells: int) -> float:
    _, stop, size = choice
    return float(to_go[stop, row, cells - size.cells]) + size.weight
