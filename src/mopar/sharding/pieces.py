"""Pieces of tensors that parts need or hold: the whole tensor, spans along one axis, or a summand."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

Span = tuple[int, int]
"""A range of elements, ``start`` to ``stop`` (exclusive), along an axis."""


class PieceError(ValueError):
    """An impossible piece: a rule has a bug."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part's share of a tensor.

    Attributes:
        axis: axis that it is split along; None for the whole tensor or a summand.
        spans: the elements along ``axis`` as ascending spans with gaps between them; in memory they are adjacent.
        summand: whether the piece has the tensor's full shape and the parts' pieces add up to the tensor.
    """

    axis: int | None = None
    spans: tuple[Span, ...] = ()
    summand: bool = False

    def __post_init__(self) -> None:
        if (self.axis is None) != (not self.spans):
            raise PieceError(f"an axis and spans belong together: {self}")
        if not all(start < stop for start, stop in self.spans):
            raise PieceError(f"an empty span: {self}")
        if not all(before[1] < after[0] for before, after in pairwise(self.spans)):
            raise PieceError(f"spans touch: {self}")

    @property
    def size(self) -> int:
        """Number of elements along the axis."""
        return sum(stop - start for start, stop in self.spans)

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole tensor."""
        return self.axis is None and not self.summand

    def hull(self) -> "Piece":
        """The piece as one span, with the gaps filled."""
        if self.axis is None:
            return self
        return Piece(self.axis, ((self.spans[0][0], self.spans[-1][1]),))

    def along(self, axis: int) -> "Piece":
        """A piece with the same spans along another axis."""
        return Piece(axis, self.spans)

    def covers(self, other: "Piece") -> bool:
        """Whether it contains ``other``."""
        if self.is_whole or other.summand or self.summand:
            return self.summand == other.summand
        if self.axis != other.axis:
            return False
        return all(any(a <= start and stop <= b for a, b in self.spans) for start, stop in other.spans)

    def local(self, other: "Piece") -> tuple[Span, ...]:
        """The positions of ``other``'s spans in the memory of this piece, which must contain them."""
        assert other.axis is not None, "all of a tensor lies nowhere but in all of it"
        if self.axis is None:
            return other.spans
        found = []
        for start, stop in other.spans:
            before = 0
            for a, b in self.spans:
                if a <= start and stop <= b:
                    found.append((before + start - a, before + stop - a))
                    break
                before += b - a
        return tuple(found)


WHOLE = Piece()
SUMMAND = Piece(summand=True)


class ConflictError(Exception):
    """A request that no part can fulfil, such as a summand where none can be made."""


def split(axis: int, spans: Iterable[Span], size: int | None) -> Piece:
    """A piece of the given spans, in any order; the whole tensor where they cover all of ``size``."""
    merged = merge(spans)
    if merged == ((0, size),):
        return WHOLE
    return Piece(axis, merged)


def merge(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same elements as ascending spans with gaps between them."""
    merged: list[Span] = []
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return tuple(merged)


def granules(spans: Iterable[Span], size: int) -> tuple[Span, ...]:
    """The granules of ``size`` elements that overlap the spans, as spans of granule numbers."""
    return merge((start // size, -(-stop // size)) for start, stop in spans)


def scaled(spans: Iterable[Span], by: int) -> tuple[Span, ...]:
    """Spans of granule numbers as spans of elements; a granule has ``by`` elements."""
    return tuple((start * by, stop * by) for start, stop in spans)


def union(first: Piece | None, second: Piece | None, size: int | None = None) -> Piece | None:
    """The smallest piece that contains both; ``size`` is the tensor's size along their axis, where it is known.

    Raises:
        ConflictError: one is a summand and the other is not.
    """
    if first is None or second is None or first == second:
        return second if first is None else first
    if first.summand != second.summand:
        raise ConflictError
    if first.axis is None or first.axis != second.axis:
        return WHOLE
    return split(first.axis, (*first.spans, *second.spans), size)


def even_spans(size: int, parts: int, granule: int = 1) -> tuple[Span, ...]:
    """Split ``size`` elements into ``parts`` spans of whole granules, as equal as possible, the longer ones first.

    Returns fewer spans where there are fewer granules.
    """
    granules = -(-size // granule)
    count = min(parts, granules)
    small, more = divmod(granules, count)
    ends = [0]
    for index in range(count):
        ends.append(min(size, ends[-1] + (small + (index < more)) * granule))
    return tuple(pairwise(ends))
