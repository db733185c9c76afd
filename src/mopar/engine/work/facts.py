"""A node of the engine's optimised graph, as far as the cost of running it depends on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from mopar.nodes import is_weight, subgraphs_of
from mopar.types import dtype_of_code

Attribute = int | float | str | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """A tensor that a node takes or makes.

    Attributes:
        shape: at the point; None where nobody can tell.
        bits: of one element.
        weight: whether it is a stored constant.
    """

    shape: tuple[int, ...] | None
    bits: int = 32
    weight: bool = False

    @property
    def elements(self) -> int:
        """How many elements; 0 where nobody can tell."""
        if self.shape is None:
            return 0
        count = 1
        for dim in self.shape:
            count *= dim
        return count

    @property
    def bytes(self) -> float:
        """Bytes of all elements."""
        return self.elements * self.bits / 8


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node.

    Attributes:
        operator: its type.
        domain: its operator's domain; empty for the standard one.
        inputs: None where an optional input is left out.
        outputs: what it makes.
        attributes: numbers, lists of integers and strings among its attributes.
        inner: nodes in its bodies.
    """

    operator: str
    domain: str = ""
    inputs: tuple[TensorFacts | None, ...] = ()
    outputs: tuple[TensorFacts, ...] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    inner: int = 0

    def ints(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """A list of integers among the attributes."""
        found = self.attributes.get(name, default)
        return found if isinstance(found, tuple) else default

    def number(self, name: str, default: int) -> int:
        """An integer among the attributes."""
        found = self.attributes.get(name, default)
        return found if isinstance(found, int) else default

    def given(self, index: int) -> TensorFacts | None:
        """The input at a place; None where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None


def node_facts(node: ir.Node, shapes: Mapping[str, tuple[int, ...]]) -> NodeFacts:
    """What there is to know of a node, its tensors' shapes taken from ``shapes``."""
    bodies = [body for attribute in node.attributes.values() for body in subgraphs_of(attribute)]
    return NodeFacts(
        operator=node.op_type,
        domain=node.domain,
        inputs=tuple(None if value is None else tensor_facts(value, shapes) for value in node.inputs),
        outputs=tuple(tensor_facts(value, shapes) for value in node.outputs if value.name),
        attributes={name: found for name, item in node.attributes.items() if (found := _plain(item)) is not None},
        inner=sum(1 for body in bodies for _ in ir.traversal.RecursiveGraphIterator(body)),
    )


def tensor_facts(value: ir.Value, shapes: Mapping[str, tuple[int, ...]]) -> TensorFacts:
    """What there is to know of a tensor."""
    dtype = value.dtype if value.dtype is not None else ir.DataType.FLOAT
    try:
        bits = dtype_of_code(int(dtype)).bits or 128
    except KeyError:
        bits = 32
    if is_weight(value) and value.const_value is not None:
        sizes = tuple(dim for dim in value.const_value.shape if isinstance(dim, int))
        return TensorFacts(sizes, bits, weight=True)
    return TensorFacts(shapes.get(value.name or ""), bits)


def _plain(attribute: ir.Attr) -> Attribute | None:
    if attribute.is_ref():
        return None
    kinds = ir.AttributeType
    if attribute.type in (kinds.INT, kinds.FLOAT, kinds.STRING):
        value = attribute.value
        return value if isinstance(value, int | float | str) else None
    if attribute.type == kinds.INTS:
        return tuple(int(item) for item in attribute.as_ints())
    return None
