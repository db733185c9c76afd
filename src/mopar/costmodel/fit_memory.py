"""Fitting what functions need beyond the runtime's base. Needs scikit-learn (``mopar[calibrate]``)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mopar.costmodel.resource_model import WIDE, MemoryLaw
from mopar.costmodel.samples import MemoryFacts, ModelSamples

_EXPECTED = {
    "resident": (1.0, 0.1),
    "table": (0.05, 0.1),
    "unread": (0.5, 0.5),
    "active": (1.0, 0.5),
    "boundary": (1.0, 0.5),
    "scratch": (1.0, 1.0),
    "kernel": (0.006, 0.003),  # 0.003 to 0.009, on chains of 2,000 of one operator
    "fixed": (2.0, 3.0),
}
"""What a MiB (a kernel, a function) of each is expected to cost before anything was measured, and give or take."""
_EXPECTED_FAMILY = (0.2, 0.5)
_NOISE = 0.05
"""Relative error of a measurement of required memory."""
_LAYOUT = tuple(_EXPECTED)
_FOLDS = 5


@dataclass(frozen=True, slots=True)
class _Label:
    facts: MemoryFacts
    required_mib: float
    base_mib: float
    left_out_with: str


def fit_memory(models: Sequence[ModelSamples], *, errors: bool = True) -> MemoryLaw:
    """The law of a machine's functions: sums whose parts are never below 0, relative errors least.

    Args:
        models: what was measured; with no slices among them, the law is what is expected.
        errors: whether to find the error by leaving models out, like ones together.
    """
    labels = [
        _Label(label.facts, label.required_mib, model.timings.base_mib, model.left_out_with)
        for model in models
        for label in model.memory
    ]
    return _fit(labels, _left_out_error(labels) if errors else WIDE)


def _fit(labels: Sequence[_Label], error: float) -> MemoryLaw:
    from sklearn.linear_model import LinearRegression

    families = sorted({family for label in labels for family in label.facts.families})
    expected = np.array([*_EXPECTED.values(), *[_EXPECTED_FAMILY] * len(families)])
    prior, give = expected[:, 0], expected[:, 1]
    rows = np.array([_row(label.facts, families) for label in labels]).reshape(len(labels), len(prior))
    required = np.array([label.required_mib for label in labels])
    beyond = required - np.array([label.base_mib for label in labels])
    strength = np.diag(_NOISE / give)
    table = np.vstack([rows / required[:, None], strength])
    target = np.concatenate([beyond / required, strength @ prior])
    fitted = LinearRegression(positive=True, fit_intercept=False).fit(table, target)
    found = [round(float(value), 6) for value in fitted.coef_]
    own = dict(zip(_LAYOUT, found, strict=False))
    return MemoryLaw(
        resident=own["resident"],
        table=own["table"],
        unread=own["unread"],
        active=own["active"],
        boundary=own["boundary"],
        scratch=own["scratch"],
        kernel_mib=own["kernel"],
        family_mib=dict(zip(families, found[len(_LAYOUT) :], strict=True)),
        fixed_mib=own["fixed"],
        error=error,
    )


def _row(facts: MemoryFacts, families: Sequence[str]) -> list[float]:
    return [
        facts.resident_mib - facts.table_mib,
        facts.table_mib,
        facts.unread_mib,
        facts.active_mib - facts.boundary_mib,
        facts.boundary_mib,
        facts.scratch_mib,
        float(facts.kernels),
        1.0,
        *(float(family in facts.families) for family in families),
    ]


def _left_out_error(labels: Sequence[_Label]) -> float:
    from sklearn.model_selection import GroupKFold

    groups = np.array([label.left_out_with for label in labels])
    count = len(set(groups.tolist()))
    if count < 2:
        return WIDE
    missed: list[float] = []
    for kept, left in GroupKFold(min(_FOLDS, count)).split(groups, groups, groups):
        law = _fit([labels[place] for place in kept], WIDE)
        missed.extend(
            math.log(label.required_mib / law.required_mib(label.facts, label.base_mib))
            for label in (labels[place] for place in left)
        )
    return math.sqrt(sum(value**2 for value in missed) / len(missed))
