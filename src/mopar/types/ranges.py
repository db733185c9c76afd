"""Which sizes of its inputs a service answers: part of the model's contract, from the profile to the gateway."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Bounds = tuple[int, int]
"""The smallest and the largest size of a dimension, both inclusive."""


@dataclass(frozen=True, slots=True)
class StatedShape:
    """A shape as a user states it: the point to measure at, and how far each dimension may go.

    Attributes:
        point: where latency counts.
        bounds: of each dimension; None where a single number was given, which is the largest size too.
    """

    point: tuple[int, ...]
    bounds: tuple[Bounds | None, ...]

    @classmethod
    def of(cls, point: Iterable[int]) -> "StatedShape":
        """A point alone."""
        sizes = tuple(point)
        return cls(sizes, (None,) * len(sizes))

    @property
    def smallest(self) -> tuple[int, ...]:
        """Of each dimension; 0 where no range was stated."""
        return tuple(0 if bound is None else bound[0] for bound in self.bounds)

    @property
    def largest(self) -> tuple[int, ...]:
        """Of each dimension."""
        return tuple(size if bound is None else bound[1] for size, bound in zip(self.point, self.bounds, strict=True))


@dataclass(frozen=True, slots=True)
class InputRange:
    """The sizes of one input that a service answers.

    Attributes:
        name: the input.
        smallest, largest: sizes of each dimension, inclusive; equal where the model fixes it.
        stated: whether a range was stated; if not, the measured point is the largest, and anything smaller is answered.
    """

    name: str
    smallest: tuple[int, ...]
    largest: tuple[int, ...]
    stated: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it has more than one size."""
        return self.smallest != self.largest

    def holds(self, shape: tuple[int, ...]) -> bool:
        """Whether a shape lies within."""
        if len(shape) != len(self.largest):
            return False
        return all(a <= size <= b for a, size, b in zip(self.smallest, shape, self.largest, strict=True))

    def widened(self, shape: tuple[int, ...]) -> str:
        """The range that holds ``shape`` too, as ``--input`` takes it."""
        if len(shape) != len(self.largest):
            return self.text
        bounds = [
            (1, size) if low == 0 and size > high else (min(low, size), max(high, size))
            for low, high, size in zip(self.smallest, self.largest, shape, strict=True)
        ]
        return f"{self.name}={_text(bounds)}"

    @property
    def text(self) -> str:
        """As ``--input`` takes it: ``ids=1x1..512``."""
        return f"{self.name}={_text(zip(self.smallest, self.largest, strict=True))}"


def ranges_text(ranges: Iterable[InputRange]) -> str:
    """The inputs of more than one size, as ``--input`` takes them; empty where there are none."""
    return ", ".join(item.text for item in ranges if item.is_open)


def sizes_text(shapes: Mapping[str, tuple[int, ...]], ranges: Iterable[InputRange]) -> str:
    """One size of each input that has more than one, as ``--input`` takes it."""
    return ", ".join(f"{item.name}={_text((n, n) for n in shapes[item.name])}" for item in ranges if item.is_open)


def _text(dims: Iterable[Bounds]) -> str:
    """Ranges from 0 are written as their end: a number alone allows anything up to it."""
    return "x".join(str(high) if low in {0, high} else f"{low}..{high}" for low, high in dims) or "scalar"
