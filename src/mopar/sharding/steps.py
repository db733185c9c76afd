"""Search for sharding steps: consecutive layers that parts compute in parallel, found backwards from their ends."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mopar.graph import Layer, Model
from mopar.sharding.backward import BackwardPass, State
from mopar.sharding.outputs import Layout, layouts
from mopar.sharding.rule import Part

_GAIN = 0.97
"""A step is useful only if its slowest part takes at most this share of the layers' time."""
_PATIENCE = 0.35
_PATIENCE_MS = 0.5
"""A search continues while the slowest part takes at most (1 + _PATIENCE) times an equal share, plus _PATIENCE_MS."""


@dataclass(frozen=True, slots=True)
class Step:
    """A candidate: a layout of the outputs at ``stop``, propagated back to ``start``.

    Attributes:
        start, stop: range of layers, ``stop`` exclusive.
        layout: layout of the outputs.
        part_ms: compute time of each part.
        whole_ms: compute time of the layers in one function.
    """

    start: int
    stop: int
    layout: Layout
    part_ms: tuple[float, ...]
    whole_ms: float

    @property
    def compute_ms(self) -> float:
        """Compute time of the slowest part."""
        return max(self.part_ms)


def candidate_steps(
    model: Model,
    layers: Sequence[Layer],
    layer_ms: Sequence[float],
    positions: Sequence[int],
    parts: int,
    backward: BackwardPass | None = None,
) -> Iterator[Step]:
    """Steps between ``positions`` (ascending; 0 and the number of layers included) that are faster in parts.

    Args:
        model: the model in canonical form.
        layers: its layers.
        layer_ms: time of each layer.
        positions: cut positions at which a step may begin or end.
        parts: number of parts.
        backward: a backward pass through the same layers, whose results are reused.
    """
    backward, begins = backward or BackwardPass(model, layers), frozenset(positions)
    for stop in positions[1:]:
        for layout in layouts(backward.boundaries.leaving(stop), parts):
            yield from _back(backward, layer_ms, begins, stop, layout)


def states_at(backward: BackwardPass, stop: int, layout: Layout) -> list[tuple[Part, State]]:
    """Each part with its state at the end of a step."""
    count, leaving = len(layout.wanted), frozenset(backward.boundaries.leaving(stop))
    return [(Part(index, count), backward.begin(stop, wanted, leaving)) for index, wanted in enumerate(layout.wanted)]


def _back(
    backward: BackwardPass, layer_ms: Sequence[float], begins: frozenset[int], stop: int, layout: Layout
) -> Iterator[Step]:
    """The steps with a given end and layout, shortest first."""
    states = states_at(backward, stop, layout)
    count = len(states)
    spent, whole = [0.0] * count, 0.0
    for index in range(stop - 1, -1, -1):
        ms, found = layer_ms[index], []
        for part, state in states:
            result = backward.back(state, part, index)
            if result is None:
                return
            found.append(result)
        spent = [before + ms * result.share for before, result in zip(spent, found, strict=True)]
        states = [(part, result.state) for (part, _), result in zip(states, found, strict=True)]
        whole += ms
        slowest = max(spent)
        if slowest > (1 + _PATIENCE) * whole / count + _PATIENCE_MS:
            return
        if index in begins and slowest < _GAIN * whole and not any(result.state.needs_summand for result in found):
            yield Step(index, stop, layout, tuple(spent), whole)
