"""Ranges of input sizes that a service answers: part of the model's contract, from the profile to the gateway."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Bounds = tuple[int, int]
"""The smallest and the largest size of a dimension, both inclusive."""


@dataclass(frozen=True, slots=True)
class StatedShape:
    """An input shape as a user states it: the point to measure at, and a range for each dimension.

    Attributes:
        point: the sizes for which latency is measured and planned.
        bounds: range of each dimension; None where a single number was given, which is then the largest size too.
    """

    point: tuple[int, ...]
    bounds: tuple[Bounds | None, ...]

    @classmethod
    def of(cls, point: Iterable[int]) -> "StatedShape":
        """A shape without ranges."""
        sizes = tuple(point)
        return cls(sizes, (None,) * len(sizes))

    @property
    def smallest(self) -> tuple[int, ...]:
        """The smallest size of each dimension; 0 where no range was stated."""
        return tuple(0 if bound is None else bound[0] for bound in self.bounds)

    @property
    def largest(self) -> tuple[int, ...]:
        """The largest size of each dimension."""
        return tuple(size if bound is None else bound[1] for size, bound in zip(self.point, self.bounds, strict=True))


@dataclass(frozen=True, slots=True)
class InputRange:
    """The sizes of one input that a service answers.

    Attributes:
        name: name of the input.
        smallest, largest: bounds of each dimension, inclusive; equal where the model fixes the size.
        stated: whether the user stated a range; if not, the measured point is the largest size, and any smaller size
            is answered.
    """

    name: str
    smallest: tuple[int, ...]
    largest: tuple[int, ...]
    stated: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the range holds more than one size."""
        return self.smallest != self.largest

    def holds(self, shape: tuple[int, ...]) -> bool:
        """Whether a shape lies within the range."""
        if len(shape) != len(self.largest):
            return False
        return all(a <= size <= b for a, size, b in zip(self.smallest, shape, self.largest, strict=True))

    def widened(self, shape: tuple[int, ...]) -> str:
        """The smallest range that also holds ``shape``, in the form of ``--input``."""
        if len(shape) != len(self.largest):
            return self.text
        bounds = [
            (1, size) if low == 0 and size > high else (min(low, size), max(high, size))
            for low, high, size in zip(self.smallest, self.largest, shape, strict=True)
        ]
        return f"{self.name}={_text(bounds)}"

    @property
    def text(self) -> str:
        """The range in the form of ``--input``: ``ids=1x1..512``."""
        return f"{self.name}={_text(zip(self.smallest, self.largest, strict=True))}"


def ranges_text(ranges: Iterable[InputRange]) -> str:
    """The ranges with more than one size, in the form of ``--input``; empty where there are none."""
    return ", ".join(item.text for item in ranges if item.is_open)


def sizes_text(shapes: Mapping[str, tuple[int, ...]], ranges: Iterable[InputRange]) -> str:
    """The given sizes of each input whose range has more than one size, in the form of ``--input``."""
    return ", ".join(f"{item.name}={_text((n, n) for n in shapes[item.name])}" for item in ranges if item.is_open)


def _text(dims: Iterable[Bounds]) -> str:
    """Dimensions joined by ``x``; a range from 0 is written as its upper bound, which allows anything below."""
    return "x".join(str(high) if low in {0, high} else f"{low}..{high}" for low, high in dims) or "scalar"
