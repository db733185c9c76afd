"""Einsum: split along any label of the output, or along a label that is summed over (as a sum)."""

from dataclasses import dataclass

from mopar.sharding.granules import inner_span
from mopar.sharding.pieces import SUMMAND, WHOLE, Piece
from mopar.sharding.rule import Sharded, View, Wanted, rule


@dataclass(frozen=True, slots=True)
class _Equation:
    """Labels of each operand's axes and of the output's."""

    operands: tuple[str, ...]
    output: str

    @classmethod
    def of(cls, text: str) -> "_Equation | None":
        """Parse an equation; None for ellipses, which have no labels, and diagonals, which repeat a label."""
        left, arrow, right = text.replace(" ", "").partition("->")
        operands = tuple(left.split(","))
        if not arrow:
            right = "".join(sorted(label for label in set(left) - {","} if left.count(label) == 1))
        is_plain = all(len(set(labels)) == len(labels) for labels in (*operands, right))
        return cls(operands, right) if is_plain and "." not in text else None


@rule("Einsum")
def einsum(view: View, wanted: Wanted) -> Sharded | None:
    """Any number of operands."""
    piece, equation = wanted[0], _Equation.of(view.attribute_string("equation"))
    if piece is None or equation is None:
        return None
    if piece.summand:
        return _inner(view, equation) or _passed_on(view)
    assert piece.axis is not None
    inputs = _split_by(view, equation, equation.output[piece.axis], piece)
    return None if inputs is None else Sharded(inputs, (piece,))


def _split_by(view: View, equation: _Equation, label: str, piece: Piece) -> tuple[Piece, ...] | None:
    """The piece of each operand for a piece along a label; None where a size is not known."""
    found, sizes = [], set()
    for number, labels in enumerate(equation.operands):
        axis, shape = labels.find(label), view.shape(number)
        if axis < 0:
            found.append(WHOLE)
        elif shape is None or shape[axis] is None:
            return None
        elif shape[axis] == 1:
            found.append(WHOLE)
        else:
            sizes.add(shape[axis])
            found.append(piece.along(axis))
    return tuple(found) if len(sizes) == 1 else None


def _inner(view: View, equation: _Equation) -> Sharded | None:
    """A summand, split along the longest label that is summed over; operands without that label are read whole."""
    places: dict[str, tuple[int, int, int]] = {}
    for number, labels in enumerate(equation.operands):
        for axis, (label, size) in enumerate(zip(labels, view.shape(number) or (), strict=False)):
            if label not in equation.output and size is not None:
                places[label] = max((size, number, axis), places.get(label, (0, 0, 0)))
    for label, (size, number, axis) in sorted(places.items(), key=lambda item: -item[1][0]):
        span = inner_span(view, number, axis, size)
        inputs = None if span is None else _split_by(view, equation, label, Piece(axis, (span,)))
        if inputs is not None and span is not None:
            return Sharded(inputs, (SUMMAND,), share=(span[1] - span[0]) / size)
    return None


def _passed_on(view: View) -> Sharded | None:
    """A summand from a summand of one operand: a product is linear in each operand."""
    for number in range(len(view.node.inputs)):
        if view.sums(number):
            inputs = tuple(SUMMAND if number == other else WHOLE for other in range(len(view.node.inputs)))
            return Sharded(inputs, (SUMMAND,), share=1.0)
    return None
