"""Shapes that do not follow from a request's shapes by inference, foreseen from earlier requests of the same shapes.

Inference gives up on many operators (a slice up to a symbolic size, say), although most of these tensors have the same
shape in all requests whose inputs have the same shapes. What depends on values (the rows that a filter leaves) has
another one sooner or later, and is not foreseen again.
"""

from collections.abc import Iterable, Mapping

from mopar.bundle.call_plans import Made
from mopar.bundle.call_shapes import Shape
from mopar.types import TensorValue

_MOST_KEPT = 512
"""Combinations of the inputs' shapes; each takes 0.25 KB for every tensor of unknown shape that leaves a function."""


class Foreseen:
    """The shapes of tensors in requests whose inputs have certain shapes.

    Attributes:
        changes: how often something was noted or forgotten.
    """

    def __init__(self, varying: set[Made]) -> None:
        self.changes = 0
        self._varying = varying
        self._shapes: dict[Made, Shape] = {}

    def __len__(self) -> int:
        return len(self._shapes)

    def shape(self, made: Made) -> Shape | None:
        """The shape that a tensor had in the request before; None where it is not known, or varies."""
        return None if made in self._varying else self._shapes.get(made)

    def note(self, made: Made, shape: Shape) -> None:
        """A tensor has this shape in a request; it varies where it had another one."""
        known = self._shapes.get(made)
        if known is not None and known != shape:
            self.vary([made])
        elif known is None and made not in self._varying:
            self._shapes[made] = shape
            self.changes += 1

    def vary(self, tensors: Iterable[Made]) -> None:
        """Tensors have different shapes in such requests: foresee them in none any more."""
        for made in tensors:
            self._varying.add(made)
            self._shapes.pop(made, None)
        self.changes += 1


class ForeseenShapes:
    """What is foreseen for each combination of the inputs' shapes."""

    def __init__(self) -> None:
        self._varying: set[Made] = set()
        self._known: dict[tuple[tuple[str, Shape], ...], Foreseen] = {}

    def of(self, values: Mapping[str, TensorValue]) -> Foreseen:
        """For requests of the shapes of this one."""
        key = tuple((name, value.shape) for name, value in values.items())
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MOST_KEPT:
                self._known.clear()
            found = self._known[key] = Foreseen(self._varying)
        return found
