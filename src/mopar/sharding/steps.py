"""Steps: runs of layers that parts compute side by side, found by going backwards from where they may end."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mopar.graph import Layer, Model
from mopar.sharding.outputs import Layout, layouts
from mopar.sharding.rule import Part
from mopar.sharding.walk import State, Walks

_GAIN = 0.97
"""A step whose slowest part takes more than this share of the layers' time is none."""
_PATIENCE = 0.35
_PATIENCE_MS = 0.5
"""A search goes on as long as the slowest part takes no more than its due and these: a share of it, and ms."""


@dataclass(frozen=True, slots=True)
class Step:
    """A candidate: a layout of what leaves at ``stop``, followed back to ``start``.

    Attributes:
        start, stop: layers.
        layout: of the outputs.
        part_ms: of each part.
        whole_ms: of the layers, by one.
    """

    start: int
    stop: int
    layout: Layout
    part_ms: tuple[float, ...]
    whole_ms: float

    @property
    def compute_ms(self) -> float:
        """Of the slowest part."""
        return max(self.part_ms)


def candidate_steps(
    model: Model,
    layers: Sequence[Layer],
    layer_ms: Sequence[float],
    positions: Sequence[int],
    parts: int,
    walks: Walks | None = None,
) -> Iterator[Step]:
    """Steps between ``positions`` (ascending; 0 and the number of layers included) that are quicker in parts.

    Args:
        model: in canonical form.
        layers: of the model.
        layer_ms: time of each layer.
        positions: where a step may begin or end.
        parts: how many.
        walks: through the same layers, to share what they have gone over.
    """
    walks, begins = walks or Walks(model, layers), frozenset(positions)
    for stop in positions[1:]:
        for layout in layouts(walks.boundaries.leaving(stop), parts):
            yield from _back(walks, layer_ms, begins, stop, layout)


def states_at(walks: Walks, stop: int, layout: Layout) -> list[tuple[Part, State]]:
    """Of each part, where its way back begins."""
    count, leaving = len(layout.wanted), frozenset(walks.boundaries.leaving(stop))
    return [(Part(index, count), walks.begin(stop, wanted, leaving)) for index, wanted in enumerate(layout.wanted)]


def _back(walks: Walks, layer_ms: Sequence[float], begins: frozenset[int], stop: int, layout: Layout) -> Iterator[Step]:
    """Steps of one end and layout, the shortest first."""
    ways = states_at(walks, stop, layout)
    count = len(ways)
    spent, whole = [0.0] * count, 0.0
    for index in range(stop - 1, -1, -1):
        ms, found = layer_ms[index], []
        for part, state in ways:
            passed = walks.back(state, part, index)
            if passed is None:
                return
            found.append(passed)
        spent = [before + ms * passed.share for before, passed in zip(spent, found, strict=True)]
        ways = [(part, passed.state) for (part, _), passed in zip(ways, found, strict=True)]
        whole += ms
        slowest = max(spent)
        if slowest > (1 + _PATIENCE) * whole / count + _PATIENCE_MS:
            return
        if index in begins and slowest < _GAIN * whole and not any(passed.state.asks_for_summand for passed in found):
            yield Step(index, stop, layout, tuple(spent), whole)
