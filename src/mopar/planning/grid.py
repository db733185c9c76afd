"""The cheapest chain where latencies are counted in steps: dynamic programming over (functions, position, time left).

Every slice's latency is rounded up to whole steps, so a chain that is found keeps its limit, and it is the best one of
those whose rounded latencies do. Takes time in proportion to slices x sizes x functions x steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mopar.planning.arithmetic import Floats
from mopar.planning.paths import ONE_FUNCTION, Edge

Chain = list[tuple[Edge, int]]
"""Slices, each with the number of its size."""

_HAIR = 1e-9


@dataclass(frozen=True, slots=True)
class Option:
    """A size of a slice: its weight in what is minimised, and its latency in steps."""

    pick: int
    weight: float
    steps: int


def options_of(weight: Floats, latency_ms: Floats, grid_ms: float) -> tuple[Option, ...]:
    """The sizes of a slice that no other one equals or beats in weight and steps; without a grid, the lightest."""
    steps = np.ceil(latency_ms / grid_ms - _HAIR).astype(int) if grid_ms > 0 else np.zeros(len(weight), dtype=int)
    order = np.lexsort((weight, steps))
    least = np.inf
    found = []
    for pick in order.tolist():
        if weight[pick] < least:
            least = float(weight[pick])
            found.append(Option(pick, least, int(steps[pick])))
    return tuple(found)


def best_chain(
    end: int,
    options: Mapping[Edge, Sequence[Option]],
    steps: int,
    functions: int | None,
    each: tuple[int, ...] = ONE_FUNCTION,
) -> tuple[float, Chain] | None:
    """The lightest chain from position 0 to ``end`` within ``steps``; None where there is none.

    Args:
        end: the last position.
        options: of each slice that may be used.
        steps: that the chain may take.
        functions: at most; None for any number.
        each: how many functions a slice is, by way.
    """
    following: list[list[_Following]] = [[] for _ in range(end + 1)]
    for (way, start, stop), choices in options.items():
        following[start].append((way, stop, choices))
    # By position, then functions left (where they are counted; else a single row), then steps left.
    counted = each if functions is not None else (0,) * len(each)
    togo = np.full((end + 1, 1 if functions is None else functions + 1, steps + 1), np.inf)
    togo[end, 0] = 0.0
    spare = np.empty_like(togo[0])
    for position in range(end - 1, -1, -1):
        for way, stop, choices in following[position]:
            rows = togo.shape[1] - counted[way]
            for option in choices if rows > 0 else ():
                _relax(togo[position, counted[way] :], togo[stop, :rows], option, spare)
    row = int(np.argmin(togo[0, :, steps]))
    if not np.isfinite(togo[0, row, steps]):
        return None
    return float(togo[0, row, steps]), _walk(togo, following, row, steps, counted)


_Following = tuple[int, int, Sequence[Option]]
"""A slice's way and stop, and its sizes."""


def _relax(best: Floats, after: Floats, option: Option, spare: Floats) -> None:
    """Least weight from a position, for every number of functions and steps left, by one slice at one size."""
    width = best.shape[1] - option.steps
    if width > 0:
        reached = best[:, option.steps :]
        through = np.add(after[:, :width], option.weight, out=spare[: len(best), :width])
        np.minimum(reached, through, out=reached)


def _walk(
    togo: Floats, following: Sequence[Sequence[_Following]], row: int, steps: int, counted: tuple[int, ...]
) -> Chain:
    """The slices that the least weight from position 0 is made of."""
    end = len(togo) - 1
    position, chain = 0, []
    while position != end:
        way, stop, option = min(
            (
                (way, stop, option)
                for way, stop, choices in following[position]
                for option in choices
                if option.steps <= steps and counted[way] <= row
            ),
            key=lambda choice: _through(togo, choice, row - counted[choice[0]], steps),
        )
        chain.append(((way, position, stop), option.pick))
        position, steps, row = stop, steps - option.steps, row - counted[way]
    return chain


def _through(togo: Floats, choice: tuple[int, int, Option], row: int, steps: int) -> float:
    _, stop, option = choice
    return float(togo[stop, row, steps - option.steps]) + option.weight
