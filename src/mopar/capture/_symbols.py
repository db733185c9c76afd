"""Did the dimensions that were to stay symbolic stay so? torch silently fixes one that a module depends on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mopar.capture._check import check_answers
from mopar.types import ModelError


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
    run: Any, args: tuple[Any, ...], kwargs: dict[str, Any], path: Path, dynamic_shapes: Any, *, named: bool
) -> None:
    """Run module and file once more, each symbolic dimension one larger: a size may be fixed inside, past the inputs.

    Nothing is checked where no dimension is symbolic, or where the module itself refuses the larger size.

    Args:
        run: the module.
        args: its example's positional arguments.
        kwargs: its named ones.
        path: the ONNX file.
        dynamic_shapes: what was asked for, as ``torch.export.export`` takes it.
        named: whether the file's inputs bear the names of ``kwargs``.

    Raises:
        ModelError: the file fails or answers differently there.
    """
    by_name = list(kwargs.items()) if kwargs else [(str(i), item) for i, item in enumerate(args)]
    asked = _pairs(by_name, dynamic_shapes)
    larger = {id(tensor): _grown(tensor, dims) for tensor, dims in asked if dims}
    if not larger:
        return
    args = tuple(larger.get(id(item), item) for item in args)
    kwargs = {name: larger.get(id(item), item) for name, item in kwargs.items()}
    try:
        run(*args, **kwargs)
    except (RuntimeError, ValueError, IndexError, TypeError, AssertionError):
        return
    try:
        check_answers(run, args, kwargs, path, named=named)
    except ModelError as cause:
        names = ", ".join(sorted({str(name) for _, dims in asked for name in dims.values()}))
        raise ModelError(
            f"{path.name} answers at the example's sizes only, torch fixed them inside it: give numbers in place of "
            f"{names} ({cause})"
        ) from cause


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


def _grown(tensor: Any, axes: Mapping[int, Any]) -> Any:
    """The tensor, one larger along each axis; its first elements come again at the end."""
    import torch

    for axis in axes:
        order = torch.arange(tensor.shape[axis] + 1) % max(tensor.shape[axis], 1)
        tensor = tensor.index_select(axis, order)
    return tensor
