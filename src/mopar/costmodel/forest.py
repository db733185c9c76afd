"""An ensemble of regression trees as plain arrays: predicting needs numpy, and no pickle is read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees whose leaves add up.

    Attributes:
        base: what is added to every prediction.
        roots: index of each tree's root among the nodes.
        feature: that a node tests; -1 for a leaf.
        threshold: a node sends what is at most this to the node after it, else to ``right``; a leaf's is its value.
        right: index of a node; 0 for a leaf.
    """

    base: float
    roots: tuple[int, ...] = ()
    feature: tuple[int, ...] = ()
    threshold: tuple[float, ...] = ()
    right: tuple[int, ...] = ()

    def predict(self, rows: Sequence[Sequence[float]]) -> Floats:
        """One value per row of features."""
        total = np.full(len(rows), self.base)
        if not self.roots or not len(rows):
            return total
        table = np.asarray(rows, dtype=np.float32).astype(np.float64)
        feature, threshold = np.array(self.feature), np.array(self.threshold)
        right = np.array(self.right)
        at = np.tile(np.array(self.roots), (len(table), 1))
        lines = np.arange(len(table))[:, None]
        while (inner := feature[at] >= 0).any():
            tested = table[lines, np.maximum(feature[at], 0)]
            onwards = np.where(tested <= threshold[at], at + 1, right[at])
            at = np.where(inner, onwards, at)
        leaves: Floats = threshold[at].sum(axis=1)
        return total + leaves

    def check(self, features: int) -> None:
        """Raises ValueError where the arrays are no trees over so many features."""
        count = len(self.feature)
        if not len(self.threshold) == len(self.right) == count:
            raise ValueError("arrays of different lengths")
        for node, tested in enumerate(self.feature):
            if tested >= features or (tested >= 0 and not node + 1 < self.right[node] < count):
                raise ValueError(f"node {node} is not part of a tree")
        if any(not np.isfinite(value) for value in self.threshold):
            raise ValueError("a threshold or a leaf that is no number")
        if any(not 0 <= root < count for root in self.roots):
            raise ValueError("a root that is no node")
