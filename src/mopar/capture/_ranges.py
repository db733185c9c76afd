"""Does a captured program take the sizes that were stated? torch tells the sizes that hold for what it traced."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mopar.capture._outputs import tensor_inputs
from mopar.types import ModelError
from mopar.types.ranges import Bounds

if TYPE_CHECKING:
    import torch

_LARGEST_BYTES = 128 << 20
"""Of one tensor, where answers are compared at other sizes than the example's."""


def check_ranges(program: Any, ranges: Mapping[str, Bounds]) -> None:
    """Look at the sizes for which an ``ONNXProgram`` holds.

    Args:
        program: captured with named dimensions.
        ranges: the smallest and the largest size of dimensions, by name.

    Raises:
        ModelError: the module takes another way, or stops, at a size of the range.
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
    """Whether every tensor of an ``ONNXProgram`` is small enough at these sizes to be computed for a comparison."""
    values = {symbol: sizes[name] for name, symbol in _symbols(program).items() if name in sizes}
    return all(
        count * width <= _LARGEST_BYTES for count, width in _tensor_sizes(program.exported_program.graph, values)
    )


def _symbols(program: Any) -> dict[str, Any]:
    """The symbol in torch of each named dimension of an input."""
    found: dict[str, Any] = {}
    for node, value in zip(tensor_inputs(program.exported_program), program.model.graph.inputs, strict=False):
        for size, dim in zip(node.meta["val"].shape, value.shape or (), strict=False):
            if not isinstance(size, int) and not isinstance(dim, int) and dim.value is not None:
                found[dim.value] = size.node.expr
    return found


def _tensor_sizes(graph: "torch.fx.Graph", values: Mapping[Any, int]) -> Iterator[tuple[int, int]]:
    """Elements and element size of every tensor whose size is known; of an attention, of its scores too."""
    for node in graph.nodes:
        made = node.meta.get("val")
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if hasattr(tensor, "shape"):
                yield _count(tensor.shape, values), tensor.element_size()
        if "scaled_dot_product" in str(node.target):
            query, key = (argument.meta["val"] for argument in node.args[:2])
            yield _count((*query.shape[:-1], key.shape[-2]), values), query.element_size()


def _count(shape: Any, values: Mapping[Any, int]) -> int:
    """Elements of a shape; a size that depends on data counts once."""
    count = 1
    for size in shape:
        expression = size if isinstance(size, int) else size.node.expr.xreplace(dict(values))
        try:
            count *= int(expression)
        except TypeError:
            continue
    return count
