"""LSTM, GRU and RNN: split by directions, and by sequences of the batch.

They are not split by hidden units, since each part would need the state of all others after every time step.
"""

import onnx_ir as ir

from mopar.sharding.pieces import WHOLE, Piece, merge
from mopar.sharding.rule import Sharded, View, Wanted, rule

_DIRECTION, _SEQUENCE = "direction", "sequence"
_X, _LENGTHS, _STATES, _PEEPHOLES = 0, 4, (5, 6), 7
_ACTIVATIONS = {"RNN": 1, "GRU": 2, "LSTM": 3}
"""Number of activations of one direction."""


@rule("LSTM", "GRU", "RNN")
def recurrent(view: View, wanted: Wanted) -> Sharded | None:
    """Outputs: Y of shape (steps, directions, batch, hidden), and the last states, without the axis of steps.

    With the attribute ``layout`` = 1 the batch is the first axis of all tensors that have one.
    """
    if any(piece is not None and piece.axis is None for piece in wanted):
        return None
    kinds = [None if piece is None else _kind(view, output, piece.axis) for output, piece in enumerate(wanted)]
    requested = {kind for kind, piece in zip(kinds, wanted, strict=True) if piece is not None}
    if len(requested) != 1 or None in requested:
        return None
    kind = requested.pop()
    chosen = Piece(0, merge(span for piece in wanted if piece is not None for span in piece.spans))
    if kind == _DIRECTION:
        return _by_direction(view, chosen)
    return _answer(view, _SEQUENCE, chosen)


def _axes(view: View, output: int) -> dict[str, int]:
    """The axes of directions and of the batch in an output; initial states have the same axes as final ones."""
    if view.attribute("layout"):
        return {_SEQUENCE: 0, _DIRECTION: 2 if output == 0 else 1}
    return {_DIRECTION: 1, _SEQUENCE: 2} if output == 0 else {_DIRECTION: 0, _SEQUENCE: 1}


def _kind(view: View, output: int, axis: int | None) -> str | None:
    return next((kind for kind, place in _axes(view, output).items() if place == axis), None)


def _by_direction(view: View, chosen: Piece) -> Sharded | None:
    """One of the two directions."""
    if view.attribute_string("direction", "forward") != "bidirectional" or chosen.size > 1:
        return None
    number = chosen.spans[0][0]
    own = _own_activations(view, number)
    if own is None:
        return None
    attributes = {"direction": ir.AttrString("direction", ("forward", "reverse")[number]), **own}
    found = _answer(view, _DIRECTION, chosen)
    return Sharded(found.inputs, found.outputs, attributes)


def _own_activations(view: View, number: int) -> dict[str, ir.Attr | None] | None:
    """The activation attributes of one direction; None where it is not certain which direction a factor is for."""
    names = view.node.attributes.get("activations")
    factors = [name for name in ("activation_alpha", "activation_beta") if name in view.node.attributes]
    if names is None:
        return None if factors else {}
    each, both = _ACTIVATIONS[view.op_type], [str(name) for name in names.as_strings()]
    if factors and both[:each] != both[each:]:
        return None
    own: dict[str, ir.Attr | None] = {
        "activations": ir.AttrStrings("activations", both[number * each : (number + 1) * each])
    }
    for name in factors:
        values = list(view.node.attributes[name].as_floats())
        half = len(values) // 2
        if len(values) % 2:
            return None
        own[name] = ir.AttrFloat32s(name, values[number * half : (number + 1) * half])
    return own


def _answer(view: View, kind: str, chosen: Piece) -> Sharded:
    """Pieces of all inputs and outputs along their axes of that kind (directions or batch)."""
    places = {number: _axes(view, 1)[kind] for number in _STATES}
    if kind == _SEQUENCE:
        places |= {_X: 0 if view.attribute("layout") else 1, _LENGTHS: 0}
    else:
        places |= {1: 0, 2: 0, 3: 0, _PEEPHOLES: 0}
    inputs = tuple(
        None if value is None else chosen.along(places[number]) if number in places else WHOLE
        for number, value in enumerate(view.node.inputs)
    )
    return Sharded(inputs, tuple(chosen.along(_axes(view, output)[kind]) for output in range(len(view.node.outputs))))
