"""Fitting: measured kernels and functions become a resource model. Needs scikit-learn (``mopar[calibrate]``)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mopar.costmodel.fit_forest import fit_forest, left_out_error
from mopar.costmodel.forest import Floats, Forest
from mopar.costmodel.resource_model import WIDE, Family, rows_of
from mopar.costmodel.samples import KernelSample, ModelSamples
from mopar.types import UsageError

FIXED_MS = 0.0015
_PEAK_QUANTILE = 0.9
_SHRINK = 3.0
_LEAST_MS = 0.0005
_DIGITS = 5


@dataclass(frozen=True, slots=True)
class _Table:
    """Kernels of one family of operators, from all models.

    Attributes:
        kernels: as measured.
        working: working bytes of each one's model.
        models: the number of each one's model.
        left_out_with: what each one's model has in common with others that are left out together.
    """

    kernels: tuple[KernelSample, ...]
    working: tuple[float, ...]
    models: tuple[int, ...]
    left_out_with: tuple[str, ...]


def require_sklearn() -> None:
    """Raises UsageError where scikit-learn is not installed."""
    try:
        import sklearn  # noqa: F401
    except ImportError as cause:
        raise UsageError(
            f'scikit-learn cannot be imported ({cause}); install it with: pip install "mopar[calibrate]"'
        ) from cause


def fit_families(models: Sequence[ModelSamples], *, errors: bool = True) -> dict[str, Family]:
    """Fit every family that was measured, and ``other``, which stands for those that were not.

    Args:
        models: what was measured.
        errors: whether to find each family's error by leaving models out, like ones together; else all are wide.
    """
    tables = _tables(models)
    rates = _machine_rates(tables)
    families = {name: _fit(table, rates, errors=errors) for name, table in sorted(tables.items())}
    poor = Family(0, rates[0] / 20, rates[1] / 4, 2 * FIXED_MS, {}, Forest(0.0), Forest(0.0), WIDE)
    return {**families, "other": poor}


def fit_dispatch(models: Sequence[ModelSamples]) -> float:
    """What each kernel adds to a whole run beyond its own time: the median over models; at least 0."""
    rests = [
        (model.timings.one_ms - sum(timing.one_ms for timing in model.timings.kernels)) / len(model.timings.kernels)
        for model in models
        if model.timings.kernels
    ]
    return max(0.0, float(np.median(rests))) if rests else 0.0


def _tables(models: Sequence[ModelSamples]) -> dict[str, _Table]:
    found: dict[str, list[tuple[KernelSample, float, int, str]]] = {}
    for number, model in enumerate(models):
        for kernel in model.kernels:
            entry = (kernel, model.working_bytes, number, model.left_out_with)
            found.setdefault(kernel.work.family, []).append(entry)
    tables = {name: _Table(*zip(*entries, strict=True)) for name, entries in found.items()}
    tables.pop("other", None)
    return tables


def _machine_rates(tables: Mapping[str, _Table]) -> tuple[float, float]:
    """FLOP and bytes per ms that the best kernels reach."""
    large = [kernel for table in tables.values() for kernel in table.kernels if kernel.one_ms > 20 * FIXED_MS]
    large = large or [kernel for table in tables.values() for kernel in table.kernels]
    return (
        _peak([kernel.work.flops / kernel.one_ms for kernel in large]),
        _peak([kernel.work.moved_bytes / kernel.one_ms for kernel in large]),
    )


def _peak(rates: Sequence[float]) -> float:
    positive = [rate for rate in rates if rate > 0]
    return float(np.quantile(positive, 0.98)) if positive else 1e6


def _fit(table: _Table, rates: tuple[float, float], *, errors: bool) -> Family:
    rows = np.array(rows_of([kernel.work for kernel in table.kernels], table.working))
    blank = Family(rows.shape[1], *rates, FIXED_MS, {}, Forest(0.0), Forest(0.0), WIDE)
    target = np.array(
        [math.log(max(kernel.one_ms, _LEAST_MS) / blank.roofline_ms(kernel.work)) for kernel in table.kernels]
    )
    weights = _weights(table)
    operators = [kernel.work.operator for kernel in table.kernels]
    offsets = _offsets(operators, target, weights)
    rest = target - np.array([offsets[operator] for operator in operators])
    both = [(place, kernel.two_ms) for place, kernel in enumerate(table.kernels) if kernel.two_ms is not None]
    places = [place for place, _ in both]
    ratio = np.array(
        [math.log(max(two, _LEAST_MS) / max(table.kernels[place].one_ms, _LEAST_MS)) for place, two in both]
    )
    error = left_out_error(rows, rest, weights, np.array(table.left_out_with)) if errors else None
    return Family(
        rows.shape[1],
        *rates,
        FIXED_MS,
        offsets,
        fit_forest(rows, rest, weights),
        fit_forest(rows[places], ratio, weights[places], small=True) if places else Forest(0.0),
        WIDE if error is None else error,
    )


def _weights(table: _Table) -> Floats:
    """Kernels that take long count more; one that a model has many times counts less each time."""
    seen: dict[tuple[int, tuple[float, ...]], int] = {}
    keys = [(model, kernel.work.features) for model, kernel in zip(table.models, table.kernels, strict=True)]
    for key in keys:
        seen[key] = seen.get(key, 0) + 1
    return np.array(
        [
            min(max(kernel.one_ms, FIXED_MS), 5.0) ** 0.25 / math.sqrt(seen[key])
            for kernel, key in zip(table.kernels, keys, strict=True)
        ]
    )


def _offsets(operators: Sequence[str], target: Floats, weights: Floats) -> dict[str, float]:
    """Each operator's weighted mean over the family's, drawn towards it where there are few samples."""
    mean = float(np.average(target, weights=weights))
    names = np.array(operators)
    found = {}
    for operator in sorted(set(operators)):
        chosen = names == operator
        own = float(np.average(target[chosen], weights=weights[chosen]))
        count = int(chosen.sum())
        found[operator] = round((own - mean) * count / (count + _SHRINK), _DIGITS)
    return found
