"""Attention: split by heads, by batch, and by queries."""

from dataclasses import dataclass

import onnx_ir as ir

from mopar.sharding.pieces import WHOLE, Piece, Span, granules, merge, scaled
from mopar.sharding.rule import Shape, Sharded, View, Wanted, rule
from mopar.sharding.rules.broadcast import broadcast

_Q, _K, _V, _MASK, _PAST_KEY, _PAST_VALUE, _LENGTHS = range(7)
_Y, _PRESENT_KEY, _PRESENT_VALUE, _SCORES = range(4)
_BATCH, _HEADS, _ROWS = range(3)
"""Axes of shape (batch, heads, rows, width); tensors of three axes are treated as if they had these four."""
_FOUR = 4


@dataclass(frozen=True, slots=True)
class _Form:
    """Tensors of four axes, or of three: (batch, rows, heads x width).

    Attributes:
        four: whether Q, K, V and Y have four axes.
        heads, groups: number of heads of queries, and of keys and values.
        widths: width of one head of Q, K, V and Y.
        full: shape of the scores, (batch, heads, rows, None).
    """

    four: bool
    heads: int
    groups: int
    widths: tuple[int, int, int, int]
    full: Shape

    def of(self, axis: int, spans: tuple[Span, ...], tensor: int) -> Piece:
        """The piece of Q, K, V (0 to 2) or Y (3) for spans along one of the four axes."""
        if self.four:
            return Piece(axis, spans)
        if axis == _HEADS:
            return Piece(2, scaled(spans, self.widths[tensor]))
        return Piece(1 if axis == _ROWS else axis, spans)

    def requested(self, piece: Piece, output: int) -> tuple[int, tuple[Span, ...]] | None:
        """The one of the four axes that a requested piece is split along, and its spans (heads: those of queries)."""
        axis, spans = piece.axis, piece.spans
        if axis is None:
            return None
        if output in {_PRESENT_KEY, _PRESENT_VALUE}:
            spans = scaled(spans, self.heads // self.groups) if axis == _HEADS else spans
            return (axis, spans) if axis <= _HEADS else None
        if output == _Y and not self.four and axis > _BATCH:
            return (_ROWS, spans) if axis == 1 else (_HEADS, granules(spans, self.widths[3]))
        return (axis, spans) if axis <= _ROWS else None


@rule("Attention")
def attention(view: View, wanted: Wanted) -> Sharded | None:
    """Inputs: queries, keys, values, and optionally a mask, past keys and values, and their lengths."""
    form = _form(view)
    if form is None:
        return None
    requested = [None if piece is None else form.requested(piece, output) for output, piece in enumerate(wanted)]
    found = [one for one, piece in zip(requested, wanted, strict=True) if piece is not None and one is not None]
    axes = {axis for axis, _ in found}
    if len(found) < sum(piece is not None for piece in wanted) or len(axes) != 1:
        return None
    axis, spans = axes.pop(), merge(span for _, spans in found for span in spans)
    if axis == _HEADS:
        return _by_heads(view, form, spans)
    if axis == _ROWS and view.attribute("is_causal"):
        return None
    keys = form.of(axis, spans, 1) if axis == _BATCH else WHOLE
    cached = Piece(axis, spans) if axis == _BATCH else WHOLE
    return _answer(view, form, Piece(axis, spans), keys, keys, cached)


def _by_heads(view: View, form: _Form, spans: tuple[Span, ...]) -> Sharded | None:
    """Some heads of queries with their heads of keys and values; whole groups where the numbers of heads differ."""
    each = form.heads // form.groups
    groups = granules(spans, each)
    shared = {
        _overlap(spans, (group * each, (group + 1) * each)) for start, stop in groups for group in range(start, stop)
    }
    if len(shared) > 1:
        spans = scaled(groups, each)
    if spans == ((0, form.heads),):
        return None
    heads, cached = Piece(_HEADS, spans), Piece(_HEADS, groups)
    found = _answer(view, form, heads, form.of(_HEADS, groups, 1), form.of(_HEADS, groups, 2), cached)
    if found is None:
        return None
    numbers = {"q_num_heads": heads.size, "kv_num_heads": cached.size}
    attributes: dict[str, ir.Attr | None] = {
        name: ir.AttrInt64(name, number) for name, number in numbers.items() if name in view.node.attributes
    }
    return Sharded(found.inputs, found.outputs, attributes)


def _answer(view: View, form: _Form, scores: Piece, keys: Piece, values: Piece, cached: Piece) -> Sharded | None:
    """Pieces of all inputs and outputs for a piece of the scores."""
    assert scores.axis is not None
    mask = broadcast(view.shape(_MASK), scores, form.full)
    if mask is None and view.value(_MASK) is not None:
        return None
    lengths = scores if scores.axis == _BATCH else WHOLE
    pieces = (form.of(scores.axis, scores.spans, 0), keys, values, mask, cached, cached, lengths)
    inputs = tuple(None if value is None else piece for value, piece in zip(view.node.inputs, pieces, strict=False))
    made = (form.of(scores.axis, scores.spans, 3), cached, cached, scores)
    return Sharded(inputs, made[: len(view.node.outputs)])


def _form(view: View) -> _Form | None:
    """The form of the node's tensors; None where a required size is not known."""
    shapes = [view.shape(number) for number in (_Q, _K, _V)]
    query, key, value = shapes
    if query is None or key is None or value is None:
        return None
    if len(query) == _FOUR:
        heads, groups = query[_HEADS], key[_HEADS]
        return None if not heads or not groups else _Form(True, heads, groups, (1, 1, 1, 1), (*query[:3], None))
    heads, groups = view.attribute("q_num_heads"), view.attribute("kv_num_heads")
    widths = [shape[-1] for shape in (query, key, value) if shape[-1] is not None]
    if not heads or not groups or len(widths) < len(shapes):
        return None
    each = widths[0] // heads, widths[1] // groups, widths[2] // groups
    return _Form(False, heads, groups, (*each, each[2]), (query[0], heads, query[1], None))


def _overlap(spans: tuple[Span, ...], other: Span) -> int:
    """Number of elements of ``other`` that are in the spans."""
    return sum(max(0, min(stop, other[1]) - max(start, other[0])) for start, stop in spans)


@rule("RotaryEmbedding")
def rotary(view: View, wanted: Wanted) -> Sharded | None:
    """Split by batch, by rows, and by heads (axis 1 of four, or the last of three)."""
    piece, shape = wanted[0], view.shape(0)
    if piece is None or piece.axis is None or shape is None:
        return None
    four = len(shape) == _FOUR
    if piece.axis == (1 if four else 2):
        return _rotary_heads(view, piece, None if four else shape[2])
    if piece.axis not in {0, 2 if four else 1}:
        return None
    positions = piece.along(min(piece.axis, 1))
    full = shape[0], shape[2 if four else 1]
    if view.value(3) is not None:
        taken = broadcast(view.shape(3), positions, full)
        return None if taken is None else Sharded((piece, WHOLE, WHOLE, taken), (piece,))
    caches = [broadcast(None if (one := view.shape(number)) is None else one[:2], positions, full) for number in (1, 2)]
    if None in caches:
        return None
    return Sharded((piece, *caches, *([None] * (len(view.node.inputs) - 3))), (piece,))


def _rotary_heads(view: View, piece: Piece, width: int | None) -> Sharded | None:
    """All heads are rotated alike; with three axes, a piece consists of whole heads of ``width``."""
    others = tuple(None if value is None else WHOLE for value in view.node.inputs[1:])
    heads = view.attribute("num_heads")
    if len(view.shape(0) or ()) == _FOUR:
        attributes: dict[str, ir.Attr | None] = {"num_heads": ir.AttrInt64("num_heads", piece.size)} if heads else {}
        return Sharded((piece, *others), (piece,), attributes)
    if not heads or width is None:
        return None
    chosen = Piece(1, granules(piece.spans, width // heads))
    made = Piece(2, scaled(chosen.spans, width // heads))
    return Sharded((made, *others), (made,), {"num_heads": ir.AttrInt64("num_heads", chosen.size)})
