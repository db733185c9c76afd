"""Elementwise operators, with broadcasting."""

from collections.abc import Sequence

import onnx_ir as ir

from mopar.sharding.pieces import SUMMAND, WHOLE, Piece
from mopar.sharding.rule import Sharded, View, Wanted, rule
from mopar.sharding.rules.factors import dims_of
from mopar.sharding.rules.linear import all_of, summand

_UNARY = (
    *("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Celu", "Clip", "Cos", "Cosh", "Elu", "Erf"),
    *("Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "IsInf", "IsNaN", "LeakyRelu", "Log", "Mish", "Not"),
    *("Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign"),
    *("Sqrt", "Swish", "Tan", "Tanh", "ThresholdedRelu", "BitwiseNot"),
)
_BROADCAST = (
    *("And", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Equal", "Greater", "GreaterOrEqual", "Less"),
    *("LessOrEqual", "Max", "Mean", "Min", "Mod", "Or", "Pow", "PRelu", "Where", "Xor"),
)


@rule(*_UNARY)
def unary(view: View, wanted: Wanted) -> Sharded | None:
    """The same piece of the first input; further inputs (bounds) are scalars."""
    piece = wanted[0]
    if piece is None or piece.summand:
        return None
    return Sharded((piece, *_others(view)), (piece,))


@rule("Identity", "Cast", "CastLike", "Neg")
def linear_unary(view: View, wanted: Wanted) -> Sharded | None:
    """The same piece of the first input; summands too, except for casts, which may round."""
    piece = wanted[0]
    if piece is None or (piece.summand and (view.op_type.startswith("Cast") or not view.sums(0))):
        return None
    return Sharded((piece, *_others(view)), (piece,))


@rule("Dropout")
def dropout(view: View, wanted: Wanted) -> Sharded | None:
    """The same piece of the input and of the mask output, where nothing is dropped."""
    requested = [piece for piece in wanted if piece is not None]
    if view.value(2) is not None and view.ints(2) != [0]:
        return None
    if any(piece.summand for piece in requested):
        return summand(view) if len(wanted) == 1 else None
    needed = all_of(view, requested)
    return None if needed.is_whole else Sharded((needed, *_others(view)), (needed,) * len(wanted))


@rule(*_BROADCAST)
def broadcast(view: View, wanted: Wanted) -> Sharded | None:
    """The matching piece of each input; an input that is broadcast along the axis is read whole."""
    piece = wanted[0]
    if piece is None or piece.summand:
        return None
    return _broadcast(view, piece)


@rule("Add", "Sub", "Sum")
def addition(view: View, wanted: Wanted) -> Sharded | None:
    """A summand from summands of the inputs; an input that cannot be one is added by the leader only."""
    piece = wanted[0]
    if piece is None or not piece.summand:
        return None if piece is None else _broadcast(view, piece)
    summands = [view.sums(number) and _is_full(view, number) for number in range(len(view.node.inputs))]
    if not any(summands):
        return None
    if view.part.leads:
        return Sharded(tuple(SUMMAND if one else WHOLE for one in summands), (piece,), share=1.0)
    inputs = tuple(SUMMAND if one else None for one in summands)
    if sum(summands) == 1:
        is_negative = view.op_type == "Sub" and summands[1]
        return None if is_negative else Sharded(inputs, (piece,), passes=summands.index(True), share=0.0)
    return Sharded(inputs, (piece,), share=1.0)


@rule("Mul", "Div")
def product(view: View, wanted: Wanted) -> Sharded | None:
    """Linear in the first input (Mul: in either), so a summand of it gives a summand of the result.

    A quotient of integers is rounded and therefore not linear.
    """
    piece, made = wanted[0], view.node.outputs[0]
    if piece is None or not piece.summand:
        return None if piece is None else _broadcast(view, piece)
    if view.op_type == "Div" and (made.dtype is None or not made.dtype.is_floating_point()):
        return None
    for number in (0, 1) if view.op_type == "Mul" else (0,):
        if view.sums(number):
            return Sharded((SUMMAND, WHOLE) if number == 0 else (WHOLE, SUMMAND), (piece,), share=1.0)
    return None


def broadcast_inputs(view: View, piece: Piece) -> tuple[Piece | None, ...] | None:
    """The piece of each input for a piece of the output; None where a required shape is not known."""
    full = view.out_shape()
    if full is None or piece.axis is None:
        return None
    found: list[Piece | None] = []
    for number, value in enumerate(view.node.inputs):
        shape = view.shape(number)
        if value is None:
            found.append(None)
            continue
        if shape is None:
            return None
        axis = piece.axis - (len(full) - len(shape))
        if axis < 0 or shape[axis] == 1:
            found.append(WHOLE)
        elif shape[axis] == full[piece.axis] and shape[axis] is not None:
            found.append(piece.along(axis))
        else:
            return None
    return tuple(found)


def _is_full(view: View, number: int) -> bool:
    """Whether an input is known to have the output's shape, so that none of its axes is broadcast."""
    full, own = dims_of(view.node.outputs[0]), dims_of(view.value(number))
    if full is None or own is None or len(own) != len(full):
        return False
    others = [value for place, value in enumerate(view.node.inputs) if place != number]
    return all(
        (dim is not None and dim == wanted)
        or (not isinstance(dim, int) and all(_is_broadcast(other, axis - len(full)) for other in others))
        for axis, (dim, wanted) in enumerate(zip(own, full, strict=True))
    )


def _is_broadcast(value: ir.Value | None, axis: int) -> bool:
    """Whether a tensor is known to have size 1 along an axis, which is counted from the end."""
    dims = dims_of(value)
    return dims is not None and (len(dims) < -axis or dims[axis] == 1)


def _broadcast(view: View, piece: Piece) -> Sharded | None:
    inputs = broadcast_inputs(view, piece)
    return None if inputs is None else Sharded(inputs, (piece,))


def _others(view: View) -> Sequence[Piece | None]:
    return [None if value is None else WHOLE for value in view.node.inputs[1:]]
