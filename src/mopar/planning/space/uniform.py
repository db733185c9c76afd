"""Slices of equal time: a baseline without a search."""

import numpy as np

from mopar.planning.space.question import Question


def uniform_cuts(question: Question, k: int) -> list[int]:
    """Cuts into exactly ``k`` slices with the least sum of squared times. O(k n^2) for n cut positions.

    ``k`` is at most the number of cut positions plus 1.
    """
    positions = question.between(question.cut_positions)
    elapsed = np.array(question.model.one_ms)[positions]
    squared = np.where(np.triu(np.ones((len(positions), len(positions)), dtype=bool), k=1), 1.0, np.inf)
    squared *= (elapsed[None, :] - elapsed[:, None]) ** 2 + 1e-12
    to_go = np.full(len(positions), np.inf)
    to_go[-1] = 0.0
    following = []
    for _ in range(k):
        through = squared + to_go
        following.append(np.argmin(through, axis=1))
        to_go = np.min(through, axis=1)
    cuts, position = [], 0
    for choice in reversed(following[1:]):
        position = int(choice[position])
        cuts.append(positions[position])
    return cuts
