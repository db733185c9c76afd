"""Granules: groups of elements that a node can only produce together, between which a sum is best split."""

from math import lcm

import onnx_ir as ir

from mopar.sharding.pieces import Piece, Span
from mopar.sharding.rule import View, shard

_DEEPEST = 100


def inner_span(view: View, number: int, axis: int, size: int | None) -> Span | None:
    """A part's span of an axis of an input that is summed over; None where there is not one for every part.

    Spans are multiples of granules where there are enough of them, so that no two parts compute the same granule.
    """
    if size is None or size < view.part.count:
        return None
    step = granule(view, number, axis)
    return view.part.span_of(size, step if -(-size // step) >= view.part.count else 1)


def granule(view: View, number: int, axis: int) -> int:
    """The smallest number of elements along an axis of an input that are produced together: a head, a channel group.

    Found by requesting ever fewer elements of the producer, and then likewise of its own inputs.
    """
    return _granule(view, number, axis, {}, _DEEPEST)


def _granule(view: View, number: int, axis: int, known: dict[tuple[ir.Value, int], int], deepest: int) -> int:
    value, producer, shape = view.value(number), view.producer(number), view.shape(number)
    if value is None or producer is None or shape is None or not deepest:
        return 1
    if (value, axis) not in known:
        known[value, axis] = 1
        found = _least(producer, producer.node.outputs.index(value), axis, (shape[axis] or 0) // view.part.count)
        if found is not None:
            known[value, axis] = _with_inputs(producer, *found, known, deepest - 1)
    return known[value, axis]


def _least(producer: View, output: int, axis: int, most: int) -> tuple[int, tuple[Piece | None, ...]] | None:
    """The fewest leading elements that a node can be made to compute, and the pieces of its inputs for them."""
    found = None
    while most:
        wanted: list[Piece | None] = [None] * len(producer.node.outputs)
        wanted[output] = Piece(axis, ((0, most),))
        how = shard(producer, tuple(wanted))
        made = None if how is None else how.outputs[output]
        if how is None or made is None or len(made.spans) != 1:
            break
        found = made.size, how.inputs
        most //= 2
    return found


def _with_inputs(
    producer: View,
    size: int,
    inputs: tuple[Piece | None, ...],
    known: dict[tuple[ir.Value, int], int],
    deepest: int,
) -> int:
    """The smallest multiple of ``size`` for which each input's piece is a multiple of that input's granule."""
    times = 1
    for number, piece in enumerate(inputs):
        if piece is None or piece.axis is None or len(piece.spans) != 1:
            continue
        together = lcm(piece.size, _granule(producer, number, piece.axis, known, deepest))
        times = lcm(times, together // piece.size)
    return size * times
