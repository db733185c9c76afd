"""How far answers are from those of the model itself: metrics, each with its loss in points of a hundred."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mopar.gateway.arrays import Array
from mopar.types import UsageError

_LEAST_CLASSES = 2
_LEAST_ENTRIES = 16
"""Along the classes' axis of sequences and maps: fewer are coordinates, colours or such, of which the largest means
nothing."""
_MAP_AXES, _CHANNELS = 4, 1
"""Answers of so many axes or more are maps, whose classes are channels: of 1x21x65x65, 21 in each of 65x65 places."""
_OF_CLASSES = frozenset({"argmax", "top1"})
_UNIT = 1e-3
"""By how much the norm of a row may differ from 1."""
_SMALLEST = 1e-30

Answers = Sequence[Mapping[str, Array]]


def metric_of(answers: Answers, output: str) -> str:
    """The metric that suits an output, by what the model answers.

    ``cosine`` for rows of norm 1, ``top1`` for one row of classes per request, ``argmax`` for several rows of classes,
    which in maps are of channels, ``equal`` for what is no float, otherwise ``relative``: so also for maps of one
    channel, which has no classes, and for pictures.
    """
    values = [answer[output] for answer in answers]
    first = values[0]
    if first.dtype.kind != "f":
        return "equal"
    entries = _rows(first).shape[-1]
    if first.ndim < 2 or entries < _LEAST_CLASSES:
        return "relative"
    if all(_is_unit(value) for value in values):
        return "cosine"
    if first.ndim == 2:
        return "top1"
    return "argmax" if entries >= _LEAST_ENTRIES else "relative"


def loss_of(got: Answers, want: Answers, metric: str | None = None) -> tuple[str, float]:
    """The metric and the points lost, of the output that loses most.

    Args:
        got: answers to some requests.
        want: the model's own.
        metric: for all outputs; by default each has the one that suits it.

    Raises:
        UsageError: there is no such metric, or it would find no answer lost, whatever it is.
    """
    if metric is not None and metric not in METRICS:
        raise UsageError(f"--accuracy-metric {metric}: choose from {', '.join(METRICS)}")
    if metric in _OF_CLASSES and all(_rows(value).shape[-1] < _LEAST_CLASSES for value in want[0].values()):
        raise UsageError(f"--accuracy-metric {metric}: the model's answers have one entry a row, which is no class")
    found = []
    for output in want[0]:
        chosen = metric or metric_of(want, output)
        pairs = ([answer[output] for answer in answers] for answers in (got, want))
        found.append((METRICS[chosen](*pairs), chosen))
    points, chosen = max(found)
    return chosen, points


def relative_error(got: Answers, want: Answers) -> float:
    """Of all outputs, the largest root mean square of the difference over that of the answer."""
    return max(_relative([one[name] for one in got], [one[name] for one in want]) for name in want[0]) / 100.0


def _rows(value: Array) -> Array:
    """An answer as rows of what belongs together: of a map the channels of each place, else the last axis."""
    value = np.atleast_1d(value)
    axis = _CHANNELS if value.ndim >= _MAP_AXES else value.ndim - 1
    return np.moveaxis(value, axis, -1).reshape(-1, value.shape[axis])


def _is_unit(value: Array) -> bool:
    norms = np.linalg.norm(_rows(value).astype(np.float64), axis=1)
    return bool(norms.size) and bool(np.all(np.abs(norms - 1.0) <= _UNIT))


def _agreement(got: Sequence[Array], want: Sequence[Array]) -> float:
    """Share of rows whose largest entry is another."""
    pairs = ([np.argmax(_rows(value), axis=1) for value in values] for values in (got, want))
    same = [one == other for one, other in zip(*pairs, strict=True)]
    return 100.0 * (1.0 - float(np.mean(np.concatenate(same))))


def _cosine(got: Sequence[Array], want: Sequence[Array]) -> float:
    """Mean of one minus the cosine, over rows; rows of nothing but 0 count as they are."""
    cosines = []
    for one, other in zip(got, want, strict=True):
        a, b = (_rows(value).astype(np.float64) for value in (one, other))
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        cosines.append(np.where(norms > 0, (a * b).sum(axis=1) / np.maximum(norms, _SMALLEST), (a == b).all(axis=1)))
    return 100.0 * (1.0 - float(np.mean(np.concatenate(cosines))))


def _equal(got: Sequence[Array], want: Sequence[Array]) -> float:
    """Share of elements that differ."""
    same = [np.ravel(one == other) for one, other in zip(got, want, strict=True)]
    return 100.0 * (1.0 - float(np.mean(np.concatenate(same))))


def _relative(got: Sequence[Array], want: Sequence[Array]) -> float:
    off = of = 0.0
    for one, other in zip(got, want, strict=True):
        a, b = (np.ravel(value).astype(np.float64) for value in (one, other))
        off, of = off + float(np.sum(np.square(a - b))), of + float(np.sum(np.square(b)))
    return 100.0 * float(np.sqrt(off / of)) if of else 100.0 * (off > 0)


METRICS: Mapping[str, Callable[[Sequence[Array], Sequence[Array]], float]] = {
    "argmax": _agreement,
    "cosine": _cosine,
    "equal": _equal,
    "relative": _relative,
    "top1": _agreement,
}
