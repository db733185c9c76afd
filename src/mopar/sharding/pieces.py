"""What a part needs, or has, of a tensor: all of it, spans along one axis, or a summand of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

Span = tuple[int, int]
"""Elements ``start`` to ``stop`` (exclusive) along an axis."""


class PieceError(ValueError):
    """There is no such piece: the mistake of a rule."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part's share of a tensor.

    Attributes:
        axis: that it is split along; None where it is whole, or a summand.
        spans: the elements along ``axis``, in ascending order, none touching the next; they lie one after the
            other in memory.
        summand: whether it has the whole's shape, and the parts' sum is the tensor.
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
        """Elements along the axis."""
        return sum(stop - start for start, stop in self.spans)

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the tensor."""
        return self.axis is None and not self.summand

    def hull(self) -> "Piece":
        """The same as one span, with what lies between."""
        if self.axis is None:
            return self
        return Piece(self.axis, ((self.spans[0][0], self.spans[-1][1]),))

    def along(self, axis: int) -> "Piece":
        """The same spans along another axis."""
        return Piece(axis, self.spans)

    def covers(self, other: "Piece") -> bool:
        """Whether ``other`` can be cut out of it."""
        if self.is_whole or other.summand or self.summand:
            return self.summand == other.summand
        if self.axis != other.axis:
            return False
        return all(any(a <= start and stop <= b for a, b in self.spans) for start, stop in other.spans)

    def local(self, other: "Piece") -> tuple[Span, ...]:
        """Where the spans of ``other`` lie in the memory of this piece, which covers them."""
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
    """No part can have what is asked of it: both a summand of a tensor and the tensor."""


def split(axis: int, spans: Iterable[Span], size: int | None) -> Piece:
    """A piece of any spans, in any order; the whole where they are all of ``size``."""
    merged = merge(spans)
    if merged == ((0, size),):
        return WHOLE
    return Piece(axis, merged)


def merge(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Ascending spans that do not touch, with the same elements."""
    merged: list[Span] = []
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return tuple(merged)


def granules(spans: Iterable[Span], size: int) -> tuple[Span, ...]:
    """The granules of ``size`` elements that the spans touch, in granules."""
    return merge((start // size, -(-stop // size)) for start, stop in spans)


def scaled(spans: Iterable[Span], by: int) -> tuple[Span, ...]:
    """The elements of spans of granules of ``by`` elements."""
    return tuple((start * by, stop * by) for start, stop in spans)


def union(first: Piece | None, second: Piece | None, size: int | None = None) -> Piece | None:
    """The least piece that covers both; ``size`` is the tensor's along their axis, where it is known.

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
    """``size`` elements in ``parts`` spans as equal as whole granules allow, the longer ones first.

    There are fewer spans where there are fewer granules.
    """
    granules = -(-size // granule)
    count = min(parts, granules)
    small, more = divmod(granules, count)
    ends = [0]
    for index in range(count):
        ends.append(min(size, ends[-1] + (small + (index < more)) * granule))
    return tuple(pairwise(ends))
