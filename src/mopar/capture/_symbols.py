"""Checks that dimensions stayed symbolic: torch silently fixes a dimension whose value the module depends on."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mopar.capture._check import check_answers
from mopar.capture._torch import first_line
from mopar.types import ModelError
from mopar.types.ranges import Bounds

_REFUSALS = (RuntimeError, ValueError, IndexError, TypeError, AssertionError)
"""Exceptions that a module raises at a size that it does not accept."""


def check_symbols(inputs: Sequence[Any], dynamic_shapes: Any) -> None:
    """Check that named dimensions are symbolic in the captured graph's inputs.

    Args:
        inputs: the inputs of the captured graph.
        dynamic_shapes: the requested dynamic shapes, as in ``torch.export.export``.

    Raises:
        ModelError: a dimension that was given a name is a number.
    """
    for item, dims in _pairs([(item.name, item) for item in inputs], dynamic_shapes):
        for axis, name in dims.items():
            if isinstance(name, str) and isinstance(item.shape[axis], int):
                raise ModelError(
                    f"input {item.name!r}: dimension {name!r} became fixed at {item.shape[axis]}, because the module "
                    "depends on its value; give that size as a number"
                )


def check_other_sizes(
    run: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    path: Path,
    dynamic_shapes: Any,
    *,
    named: bool,
    ranges: Mapping[str, Bounds],
    fits: Callable[[Mapping[str, int]], bool],
) -> None:
    """Compare module and file at sizes other than the example's: a size may be fixed inside the graph.

    The sizes are the smallest and the largest of each range; for a dimension without a range, the example's size
    plus 1, which the module may refuse. The largest sizes are moved towards the example's until they fit.

    Args:
        run: the module.
        args: the example's positional arguments.
        kwargs: the example's keyword arguments.
        path: the ONNX file.
        dynamic_shapes: the requested dynamic shapes, as in ``torch.export.export``.
        named: whether the file's inputs are named like ``kwargs``.
        ranges: the smallest and the largest size of dimensions, by name.
        fits: whether sizes, by name, are small enough to be run here.

    Raises:
        ModelError: the file fails or gives other outputs, or the module refuses a size of a range.
    """
    by_name = list(kwargs.items()) if kwargs else [(str(i), item) for i, item in enumerate(args)]
    asked = _pairs(by_name, dynamic_shapes)
    example = {name: tensor.shape[axis] for tensor, dims in asked for axis, name in dims.items()}
    for sizes in _points(example, ranges, fits):
        resized = {id(tensor): _resized(tensor, {a: sizes[n] for a, n in dims.items()}) for tensor, dims in asked}
        at = ", ".join(f"{name}@{size}" for name, size in sizes.items() if name in ranges)
        others = tuple(resized.get(id(item), item) for item in args)
        named_others = {name: resized.get(id(item), item) for name, item in kwargs.items()}
        try:
            run(*others, **named_others)
        except _REFUSALS as cause:
            if not at:
                return
            raise ModelError(f"the module refuses {at}, which the range holds: {first_line(cause)}") from cause
        try:
            check_answers(run, others, named_others, path, named=named)
        except ModelError as cause:
            names = ", ".join(sorted({str(name) for name in sizes}))
            raise ModelError(
                f"{path.name} answers at the example's sizes only{at and f', not at {at}'}: torch fixed them inside "
                f"it; give numbers in place of {names} ({cause})"
            ) from cause


def _points(
    example: Mapping[Any, int], ranges: Mapping[str, Bounds], fits: Callable[[Mapping[str, int]], bool]
) -> list[dict[Any, int]]:
    """The sizes to compare at."""
    if not example:
        return []
    if not ranges.keys() & example.keys():
        return [{name: size + 1 for name, size in example.items()}]
    smallest = {name: ranges[name][0] if name in ranges else size for name, size in example.items()}
    largest = {name: ranges[name][1] if name in ranges else size + 1 for name, size in example.items()}
    while not fits(largest) and any(largest[name] > example[name] for name in example):
        largest = {name: max(size, (size + largest[name]) // 2) for name, size in example.items()}
    return [point for point in (smallest, largest) if point != example]


def _pairs(items: Sequence[tuple[str, Any]], dynamic_shapes: Any) -> list[tuple[Any, dict[int, Any]]]:
    """Each item with its symbolic axes; nested items and other forms of dynamic shapes are left out."""
    if isinstance(dynamic_shapes, Mapping):
        found = [(item, dynamic_shapes.get(name)) for name, item in items]
    elif isinstance(dynamic_shapes, tuple | list) and len(dynamic_shapes) == len(items):
        found = [(item, dims) for (_, item), dims in zip(items, dynamic_shapes, strict=True)]
    else:
        return []
    return [
        (item, {axis: name for axis, name in dims.items() if name is not None})
        for item, dims in found
        if isinstance(dims, dict)
    ]


def _resized(tensor: Any, axes: Mapping[int, int]) -> Any:
    """The tensor resized along its axes: cropped, or with its elements repeated."""
    import torch

    for axis, size in axes.items():
        order = torch.arange(size) % max(tensor.shape[axis], 1)
        tensor = tensor.index_select(axis, order)
    return tensor
