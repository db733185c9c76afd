"""Reshapes: which groups of input and output axes hold the same elements, and how pieces map between them.

Elements keep their order, so both shapes are factored into groups of axes with equal products. Within a group, an axis
of the output is ``(outer, size, inner)``: it repeats with the period ``size * inner``. A piece maps to an axis of the
input where one period is a multiple of the other, in multiples of the least common multiple of both inner sizes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import lcm, prod

import onnx_ir as ir

from mopar.sharding.pieces import Piece, Span, granules, merge, scaled

Dim = int | str | None
"""A dimension: a number, the symbol of one that is not known before the request, or None."""

_MOST_SPANS = 32


@dataclass(frozen=True, slots=True)
class Group:
    """Consecutive axes of input and output that hold the same elements."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def is_one_to_one(self) -> bool:
        """Whether it maps one axis to one axis."""
        return len(self.inputs) == len(self.outputs) == 1


def dims_of(value: ir.Value | None) -> tuple[Dim, ...] | None:
    """A tensor's shape, with symbols; None where its rank is not known."""
    if value is None or value.shape is None:
        return None
    return tuple(dim if isinstance(dim, int) else dim.value for dim in value.shape)


def groups_of(inputs: Sequence[Dim], outputs: Sequence[Dim]) -> tuple[Group, ...]:
    """The finest groups that are certain, without axes of size 1; axes that cannot be separated are one group."""
    left, right = ([axis for axis, dim in enumerate(dims) if dim != 1] for dims in (inputs, outputs))
    front = _matched(inputs, outputs, left, right)
    left, right = left[sum(len(one.inputs) for one in front) :], right[sum(len(one.outputs) for one in front) :]
    back = _matched(inputs, outputs, left[::-1], right[::-1])
    left = left[: len(left) - sum(len(one.inputs) for one in back)]
    right = right[: len(right) - sum(len(one.outputs) for one in back)]
    middle = [Group(tuple(left), tuple(right))] if left or right else []
    turned = [Group(one.inputs[::-1], one.outputs[::-1]) for one in reversed(back)]
    return (*front, *middle, *turned)


def map_back(inputs: Sequence[Dim], outputs: Sequence[Dim], piece: Piece) -> tuple[Piece, Piece] | None:
    """For a requested piece of a reshape's output: the input's piece, and the piece of the output that it makes.

    None where the input's piece would be the whole tensor or have too many spans, or where a size is not known.
    """
    found = [group for group in groups_of(inputs, outputs) if piece.axis in group.outputs]
    if not found:
        return None
    group = found[0]
    if group.is_one_to_one:
        return piece.along(group.inputs[0]), piece
    sizes = [_known(dims, axes) for dims, axes in ((inputs, group.inputs), (outputs, group.outputs))]
    if not all(sizes):
        return None
    assert piece.axis is not None
    requested = group.outputs.index(piece.axis)
    ways = [_through(sizes[0], number, sizes[1], requested, piece.spans) for number in range(len(sizes[0]))]
    best = min(
        ((made, taken, axis) for axis, way in zip(group.inputs, ways, strict=True) if way for taken, made in [way]),
        key=lambda one: (sum(stop - start for start, stop in one[0]), len(one[1])),
        default=None,
    )
    return None if best is None else (Piece(best[2], best[1]), Piece(piece.axis, best[0]))


def fold(spans: Iterable[Span], period: int) -> tuple[Span, ...]:
    """The spans modulo a period."""
    found: list[Span] = []
    for start, stop in spans:
        if stop - start >= period:
            return ((0, period),)
        begin = start % period
        end = begin + stop - start
        found.append((begin, min(end, period)))
        if end > period:
            found.append((0, end - period))
    return merge(found)


def unroll(spans: Sequence[Span], period: int, times: int) -> tuple[Span, ...]:
    """The spans repeated in each of several periods."""
    return merge((start + period * turn, stop + period * turn) for turn in range(times) for start, stop in spans)


def _matched(inputs: Sequence[Dim], outputs: Sequence[Dim], left: Sequence[int], right: Sequence[int]) -> list[Group]:
    """Groups of axes, matched from the first of the given axes on as far as they are certain."""
    found: list[Group] = []
    i = j = 0
    while i < len(left) and j < len(right):
        a, b = inputs[left[i]], outputs[right[j]]
        begin = i, j
        i, j = i + 1, j + 1
        while isinstance(a, int) and isinstance(b, int) and a != b:
            axes, at, dims = (left, i, inputs) if a < b else (right, j, outputs)
            more = dims[axes[at]] if at < len(axes) else None
            if not isinstance(more, int):
                return found
            if a < b:
                a, i = a * more, i + 1
            else:
                b, j = b * more, j + 1
        if a is None or a != b:
            return found
        found.append(Group(tuple(left[begin[0] : i]), tuple(right[begin[1] : j])))
    return found


def _known(dims: Sequence[Dim], axes: Sequence[int]) -> list[int]:
    """Sizes of the axes; empty where one of them is not known."""
    sizes = [dim for axis in axes if isinstance(dim := dims[axis], int)]
    return sizes if len(sizes) == len(axes) else []


def _through(
    inputs: Sequence[int], number: int, outputs: Sequence[int], requested: int, spans: Sequence[Span]
) -> tuple[tuple[Span, ...], tuple[Span, ...]] | None:
    """Spans along an input axis of a group, and the spans along the output axis that they make."""
    inner_in, inner_out = prod(inputs[number + 1 :]), prod(outputs[requested + 1 :])
    whole_in, whole_out = inputs[number] * inner_in, outputs[requested] * inner_out
    period, step = min(whole_in, whole_out), lcm(inner_in, inner_out)
    if max(whole_in, whole_out) % period or period % step:
        return None
    folded = scaled(granules(fold(scaled(spans, inner_out), period), step), step)
    if folded == ((0, period),):
        return None
    taken = unroll(folded, period, whole_in // period)
    if len(taken) > _MOST_SPANS:
        return None
    made = unroll(folded, period, whole_out // period)
    return tuple((a // inner_in, b // inner_in) for a, b in taken), tuple(
        (a // inner_out, b // inner_out) for a, b in made
    )
