"""Did the dimensions that were to stay symbolic stay so? torch silently fixes one that a module depends on."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mopar.capture._check import check_answers
from mopar.capture._torch import first_line
from mopar.types import ModelError
from mopar.types.ranges import Bounds

_REFUSALS = (RuntimeError, ValueError, IndexError, TypeError, AssertionError)
"""What a module raises at a size that it does not take."""


def check_symbols(inputs: Sequence[Any], dynamic_shapes: Any) -> None:
    """Look at the file's inputs.

    Args:
        inputs: the inputs of the captured graph.
        dynamic_shapes: what was asked for, as ``torch.export.export`` takes it.

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
    """Run module and file at other sizes than the example's: a size may be fixed inside, past the inputs.

    These are the smallest and the largest of the ranges, or, for a dimension that has none, one more than in the
    example. A module may refuse that, but no size of a range. The largest sizes come closer to the example's until
    they fit.

    Args:
        run: the module.
        args: its example's positional arguments.
        kwargs: its named ones.
        path: the ONNX file.
        dynamic_shapes: what was asked for, as ``torch.export.export`` takes it.
        named: whether the file's inputs bear the names of ``kwargs``.
        ranges: the smallest and the largest size of dimensions, by name.
        fits: whether sizes, by name, are small enough to be computed here.

    Raises:
        ModelError: the file fails or answers differently there, or the module refuses a size of a range.
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
    """The sizes to check at."""
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
    """Each item with its symbolic axes; what is nested or written in another way is left out."""
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
    """The tensor at other sizes of its axes; where one is larger, its elements come again."""
    import torch

    for axis, size in axes.items():
        order = torch.arange(size) % max(tensor.shape[axis], 1)
        tensor = tensor.index_select(axis, order)
    return tensor
