"""Boosted trees fitted with scikit-learn, and kept as plain arrays."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mopar.costmodel.forest import Floats, Forest

if TYPE_CHECKING:
    from sklearn.ensemble import GradientBoostingRegressor

_FEWEST = 12
"""Samples below which there is a level, but no trees."""
_FOLDS = 5
_DIGITS = 5


def fit_forest(rows: Floats, target: Floats, weights: Floats, *, small: bool = False) -> Forest:
    """Boosted trees over the rows, as arrays; the mean alone where there are too few."""
    if len(rows) < _FEWEST:
        return Forest(float(np.average(target, weights=weights)))
    return as_forest(_regressor(small=small).fit(rows, target, sample_weight=weights))


def _regressor(*, small: bool = False) -> "GradientBoostingRegressor":
    from sklearn.ensemble import GradientBoostingRegressor

    return GradientBoostingRegressor(
        n_estimators=30 if small else 80,
        learning_rate=0.12,
        max_depth=3 if small else 4,
        min_samples_leaf=4,
        subsample=0.7,
        max_features=0.6,
        loss="huber",
        random_state=0,
    )


def as_forest(fitted: "GradientBoostingRegressor") -> Forest:
    """The trees of a fitted regressor as arrays, the learning rate in their leaves."""
    roots: list[int] = []
    feature: list[int] = []
    threshold: list[float] = []
    right: list[int] = []
    for (stage,) in fitted.estimators_:
        tree: Any = stage.tree_
        start = len(feature)
        roots.append(start)
        for node in range(tree.node_count):
            leaf = tree.children_left[node] < 0
            assert leaf or tree.children_left[node] == node + 1, "trees grow depth first"
            feature.append(-1 if leaf else int(tree.feature[node]))
            value = tree.value[node][0][0] * fitted.learning_rate if leaf else tree.threshold[node]
            threshold.append(float(f"{value:.{_DIGITS}g}"))
            right.append(0 if leaf else start + int(tree.children_right[node]))
    base = float(np.ravel(fitted.init_.constant_)[0])
    return Forest(base, tuple(roots), tuple(feature), tuple(threshold), tuple(right))


def left_out_error(rows: Floats, target: Floats, weights: Floats, groups: npt.NDArray[np.str_]) -> float | None:
    """Standard deviation of what a forest misses on groups that it has not seen; None where there are too few."""
    from sklearn.model_selection import GroupKFold

    count = len(set(groups.tolist()))
    if count < 2 or len(rows) < 2 * _FEWEST:
        return None
    missed = np.empty(len(rows))
    for kept, left in GroupKFold(min(_FOLDS, count)).split(rows, target, groups):
        forest = fit_forest(rows[kept], target[kept], weights[kept])
        missed[left] = target[left] - forest.predict(rows[left])
    return float(math.sqrt(np.average(missed**2, weights=weights)))
