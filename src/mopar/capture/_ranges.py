"""Checks that a captured program accepts the stated ranges: torch records for which sizes a trace is valid."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mopar.capture._outputs import tensor_inputs
from mopar.types import ModelError
from mopar.types.ranges import Bounds

if TYPE_CHECKING:
    import torch

_LARGEST_BYTES = 128 << 20
"""Size limit of each tensor when outputs are compared at sizes other than the example's."""


def check_ranges(program: Any, ranges: Mapping[str, Bounds]) -> None:
    """Check that an ``ONNXProgram`` is valid for all sizes of the ranges.

    Args:
        program: captured with named dimensions.
        ranges: the smallest and the largest size of dimensions, by name.

    Raises:
        ModelError: the module takes another branch, or fails, at some size of a range.
    """
    constraints = program.exported_program.range_constraints
    for name, symbol in _symbols(program).items():
        if name not in ranges or symbol not in constraints:
            continue
        low, high = ranges[name]
        holds = constraints[symbol]
        if bool(holds.lower > low) or bool(holds.upper < high):
            upward = bool(holds.upper >= 1 << 62)
            sizes = f"from {holds.lower} on" if upward else f"from {holds.lower} to {holds.upper}"
            raise ModelError(
                f"dimension {name!r}: the range {low}..{high} cannot be captured as one, because the module computes "
                f"otherwise, or refuses, outside sizes {sizes}; give a range within"
            )


def fits(program: Any, sizes: Mapping[str, int]) -> bool:
    """Whether every tensor of an ``ONNXProgram`` is small enough at these sizes to run it for a comparison."""
    values = {symbol: sizes[name] for name, symbol in _symbols(program).items() if name in sizes}
    return all(
        count * width <= _LARGEST_BYTES for count, width in _tensor_sizes(program.exported_program.graph, values)
    )


def _symbols(program: Any) -> dict[str, Any]:
    """The symbol of each named input dimension."""
    found: dict[str, Any] = {}
    for node, value in zip(tensor_inputs(program.exported_program), program.model.graph.inputs, strict=False):
        for size, dim in zip(node.meta["val"].shape, value.shape or (), strict=False):
            if not isinstance(size, int) and not isinstance(dim, int) and dim.value is not None:
                found[dim.value] = size.node.expr
    return found


def _tensor_sizes(graph: "torch.fx.Graph", values: Mapping[Any, int]) -> Iterator[tuple[int, int]]:
    """Elements and element size of every tensor of known size; for an attention, of its score matrix too."""
    for node in graph.nodes:
        made = node.meta.get("val")
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if hasattr(tensor, "shape"):
                yield _count(tensor.shape, values), tensor.element_size()
        if "scaled_dot_product" in str(node.target):
            query, key = (argument.meta["val"] for argument in node.args[:2])
            yield _count((*query.shape[:-1], key.shape[-2]), values), query.element_size()


def _count(shape: Any, values: Mapping[Any, int]) -> int:
    """Number of elements of a shape; a size that depends on data counts as 1."""
    count = 1
    for size in shape:
        expression = size if isinstance(size, int) else size.node.expr.xreplace(dict(values))
        try:
            count *= int(expression)
        except TypeError:
            continue
    return count
