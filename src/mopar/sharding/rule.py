"""Sharding rules: their parameters, their results, and the registry.

A rule works backwards: given the pieces of a node's outputs that are requested of one part, it returns the pieces of
the inputs that the part needs for them, and how the node has to be changed. Where no rule applies, the part computes
the whole node from whole inputs.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from mopar.nodes import is_weight, reads_of, subgraphs_of
from mopar.sharding.pieces import SUMMAND, WHOLE, Piece, PieceError, Span, even_spans

Shape = tuple[int | None, ...]
"""A shape; None for a dimension that is not known before the request."""

_LARGEST_CONSTANT = 1 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """One of ``count`` parts. The first is the leader: it adds terms that must be added only once, such as a bias."""

    index: int
    count: int

    @property
    def leads(self) -> bool:
        """Whether it is the leader."""
        return self.index == 0

    def span_of(self, size: int, granule: int = 1) -> Span | None:
        """The part's span of an axis of that size; None where there are more parts than granules."""
        spans = even_spans(size, self.count, granule)
        return spans[self.index] if self.index < len(spans) else None


@dataclass(frozen=True, slots=True)
class Sharded:
    """How one part computes its share of a node.

    Attributes:
        inputs: the piece needed of each input; None for an input that is not read: an optional input is then left
            empty, an input of a variadic operator (Concat) is removed.
        outputs: the piece made of each output, which contains the requested piece. The rest is never read and need
            not be correct (edges that a node computes beside a halo). None for an output that was not requested.
        attributes: changed attributes by name; None removes one.
        constants: inputs that are replaced by constants, by number; the number after the last adds an input.
        passes: number of the input that equals the only requested output, so that the node is removed; None for a node
            that computes.
        share: share of the node's work; None for the share of the outputs' elements.
    """

    inputs: tuple[Piece | None, ...]
    outputs: tuple[Piece | None, ...]
    attributes: Mapping[str, ir.Attr | None] = field(default_factory=dict)
    constants: Mapping[int, npt.NDArray[np.generic]] = field(default_factory=dict)
    passes: int | None = None
    share: float | None = None


Wanted = tuple[Piece | None, ...]
"""The piece requested of each output of a node; None for an output that is not requested."""


class View:
    """What a rule can see: a node, its shapes, its constants, and the part that it computes for."""

    def __init__(
        self,
        node: ir.Node,
        part: Part,
        outside: Callable[[ir.Value], bool] = lambda _value: False,
        inside: Callable[[ir.Node], bool] = lambda _node: True,
    ) -> None:
        self.node, self.part = node, part
        self._outside, self._inside = outside, inside

    @property
    def op_type(self) -> str:
        """The operator type."""
        return self.node.op_type

    @property
    def opset(self) -> int:
        """Version of the standard operators."""
        graph = self.node.graph
        assert isinstance(graph, ir.Graph)
        return graph.opset_imports.get("", 1)

    def shape(self, number: int) -> Shape | None:
        """Shape of an input; None where its rank is not known, or there is no such input."""
        return shape_of(self.value(number))

    def out_shape(self, number: int = 0) -> Shape | None:
        """Shape of an output; None where its rank is not known."""
        return shape_of(self.node.outputs[number])

    def value(self, number: int) -> ir.Value | None:
        """An input; None where it is empty."""
        return self.node.inputs[number] if number < len(self.node.inputs) else None

    def is_weight(self, number: int) -> bool:
        """Whether an input is a stored constant."""
        value = self.value(number)
        return value is not None and is_weight(value)

    def constant(self, number: int) -> npt.NDArray[np.generic] | None:
        """An input's value where it is a small stored constant; else None."""
        value = self.value(number)
        if value is None or not is_weight(value) or value.const_value is None:
            return None
        return value.const_value.numpy() if value.const_value.nbytes <= _LARGEST_CONSTANT else None

    def ints(self, number: int) -> list[int] | None:
        """A constant input as a list of integers; None where it is not constant."""
        array = self.constant(number)
        return None if array is None else [int(item) for item in np.asarray(array).reshape(-1)]

    def attribute(self, name: str, default: int = 0) -> int:
        """An integer attribute."""
        found = self.node.attributes.get(name)
        return default if found is None else int(found.as_int())

    def attribute_ints(self, name: str) -> list[int] | None:
        """An attribute that is a list of integers."""
        found = self.node.attributes.get(name)
        return None if found is None else [int(item) for item in found.as_ints()]

    def attribute_string(self, name: str, default: str = "") -> str:
        """A string attribute."""
        found = self.node.attributes.get(name)
        return default if found is None else str(found.as_string())

    def producer(self, number: int) -> "View | None":
        """The node that produces an input; None where that node is not part of the run."""
        value = self.value(number)
        node = None if value is None else value.producer()
        return None if node is None or not self._inside(node) else View(node, self.part, self._outside, self._inside)

    def sums(self, number: int) -> bool:
        """Whether an input can be requested as a summand: its producer can make one, and no other node reads it.

        The result is computed for the last part and is the same for all: the last part is the first for which there
        may be no span.
        """
        value, producer = self.value(number), self.producer(number)
        if value is None or producer is None or len(value.uses()) != 1 or self._outside(value):
            return False
        producer.part = replace(self.part, index=self.part.count - 1)
        wanted = tuple(SUMMAND if output is value else None for output in producer.node.outputs)
        return shard(producer, wanted) is not None


def shape_of(value: ir.Value | None) -> Shape | None:
    """A tensor's shape as far as it is known before the request."""
    if value is None or value.shape is None:
        return None
    return tuple(dim if isinstance(dim, int) else None for dim in value.shape)


Rule = Callable[[View, Wanted], Sharded | None]
"""A rule. Returns None where the node must be computed whole (and cannot make a summand)."""

_RULES: dict[tuple[str, str], Rule] = {}
_STANDARD = ("", "ai.onnx")


def rule(*operators: str, domain: str = "") -> Callable[[Rule], Rule]:
    """Register a function as the rule of the given operators."""

    def add(function: Rule) -> Rule:
        for operator in operators:
            assert (domain, operator) not in _RULES, f"{operator} has a rule already"
            _RULES[domain, operator] = function
        return function

    return add


def operators_with_rules() -> Sequence[str]:
    """The operators that have a rule."""
    return sorted(operator for _, operator in _RULES)


def shard(view: View, wanted: Wanted) -> Sharded | None:
    """Apply the node's rule; None where it has none, or the rule returns None.

    Where a rule fails, or its result is invalid, there is a warning and the node is computed whole.
    """
    domain = "" if view.node.domain in _STANDARD else view.node.domain
    function = _RULES.get((domain, view.op_type))
    if function is None or all(piece is None or piece.is_whole for piece in wanted):
        return None
    try:
        found = function(view, wanted)
        if found is not None:
            _check(view, wanted, found)
    except (ArithmeticError, LookupError, ValueError) as mistake:
        message = f"{view.op_type} {view.node.name!r} is computed whole, since its rule failed: {mistake!r}"
        warnings.warn(message, RuntimeWarning, stacklevel=2)
        return None
    return found


def _check(view: View, wanted: Wanted, found: Sharded) -> None:
    """Raise PieceError where a rule's result does not contain the request, or exceeds a tensor."""
    for requested, made in zip(wanted, found.outputs, strict=True):
        if requested is not None and not (made is not None and made.covers(requested)):
            raise PieceError(f"{requested} was requested, {made} is made")
    for number, taken in enumerate(found.inputs):
        if taken is None or taken.axis is None:
            continue
        shape = view.shape(number)
        size = None if shape is None else shape[taken.axis]
        if taken.spans[0][0] < 0 or (size is not None and taken.spans[-1][1] > size):
            raise PieceError(f"takes {taken} of input {number}, whose shape is {shape}")


def replicated(node: ir.Node) -> Sharded:
    """The result for a node that is computed whole, from whole inputs."""
    inputs = tuple(None if value is None else WHOLE for value in node.inputs)
    return Sharded(inputs, (WHOLE,) * len(node.outputs), share=1.0)


def captured(node: ir.Node) -> tuple[ir.Value, ...]:
    """Values that the node's subgraphs capture; they are needed whole."""
    if node.graph is None or not any(subgraphs_of(attribute) for attribute in node.attributes.values()):
        return ()
    direct = set(node.inputs)
    return tuple(value for value in reads_of(node, node.graph) if value not in direct)
