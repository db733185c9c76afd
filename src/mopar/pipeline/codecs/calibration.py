"""Calibration inputs: several requests in one file, some to fit codecs to and others to measure them on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mopar.gateway.arrays import Array
from mopar.profiling import load_inputs, sample_inputs
from mopar.types import InputError, TensorSpec

_FEWEST = 2

Request = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Requests of real inputs.

    Attributes:
        fitted: what codecs are fitted to.
        held_apart: what they are measured on.
    """

    fitted: tuple[Request, ...]
    held_apart: tuple[Request, ...]


def load_calibration(path: Path, specs: tuple[TensorSpec, ...]) -> Calibration:
    """Read a file in which each input's first axis holds several requests; every second one is held apart.

    An input whose first dimension is fixed to ``b`` has ``b`` entries of that axis in each request; one with an axis
    more than the model's has one entry of it in each.

    Raises:
        InputError: an input is missing, does not fit, or the file has fewer than two requests.
    """
    given = load_inputs(path)
    parts = {spec.name: _divided(given[spec.name], spec, path) for spec in specs if spec.name in given}
    counts = {name: len(values) for name, values in parts.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise InputError(f"{path}: its inputs hold different numbers of requests: {listed}")
    count = next(iter(counts.values()), 0)
    if count < _FEWEST:
        raise InputError(f"{path}: {count} requests, and calibration needs at least {_FEWEST}: half are held apart")
    missing = [spec.name for spec in specs if spec.name not in given]
    if missing:
        raise InputError(f"{path}: input {missing[0]!r} is missing")
    unknown = sorted(given.keys() - parts.keys())
    if unknown:
        raise InputError(f"{path}: the model has no input {unknown[0]!r}")
    requests = [{name: values[number] for name, values in parts.items()} for number in range(count)]
    for request in requests:
        sample_inputs(specs, given=request)  # raises where one does not fit
    return Calibration(tuple(requests[::2]), tuple(requests[1::2]))


def _divided(value: Array, spec: TensorSpec, path: Path) -> list[Array]:
    """The value of an input in each request."""
    rank = None if spec.shape is None else len(spec.shape)
    if rank is not None and value.ndim == rank + 1:
        return list(value)
    if not value.ndim or (rank is not None and value.ndim != rank):
        raise InputError(f"{path}: input {spec.name!r} has {value.ndim} axes, and a model's request {rank}")
    first = spec.shape[0] if spec.shape else None
    size = first if isinstance(first, int) else 1
    if not size or value.shape[0] % size:
        raise InputError(f"{path}: input {spec.name!r} has {value.shape[0]} entries, no multiple of {size}")
    return [value[start : start + size] for start in range(0, value.shape[0], size)]
