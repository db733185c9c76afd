"""What each part of a step needs: inputs, weights and memory, in one backward pass for all steps that end alike."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import onnx_ir as ir

from mopar.graph import Layer, Model
from mopar.nodes import name_of
from mopar.profiling.entries import operations_of
from mopar.profiling.shard_memory import Lifetimes, PartMemory
from mopar.sharding import ConflictError, Part, Piece, share_of
from mopar.sharding.backward import BackwardPass, Boundaries, LayerShare, State
from mopar.sharding.pieces import union
from mopar.sharding.propagate import fraction, size_along
from mopar.sharding.steps import Step, states_at
from mopar.types import GraphPart, PartProfile, ShardStep, WeightProfile

_DIGITS = 6
"""Of a share of time: a model's prediction, or a measurement."""


class Writer:
    """Works out what each part of a step needs."""

    def __init__(
        self,
        model: Model,
        layers: Sequence[Layer],
        walks: BackwardPass,
        weights: Mapping[str, WeightProfile],
        sizes: Mapping[str, int],
    ) -> None:
        """``weights`` are by name, ``sizes`` bytes of every tensor."""
        self._walks, self._weights, self._sizes = walks, weights, sizes
        self._layers, self._nodes = layers, model.nodes
        self._lifetimes = Lifetimes([operations_of(model, layer) for layer in layers])

    def written(self, steps: Sequence[Step]) -> list[ShardStep]:
        """Steps with all their parts; one that a model of its layers alone could not compute is left out."""
        alike: dict[tuple[int, int, str], list[Step]] = {}
        for step in steps:
            alike.setdefault((step.stop, len(step.part_ms), step.layout.name), []).append(step)
        found: dict[tuple[int, int, int, str], ShardStep] = {}
        for (stop, count, layout), some in alike.items():
            ways = states_at(self._walks, stop, some[0].layout)
            profiles = [self._of_part(part, state, some) for part, state in ways]
            for step in some:
                parts = tuple(of_part[step.start] for of_part in profiles if step.start in of_part)
                if len(parts) == count:
                    found[step.start, stop, count, layout] = ShardStep(step.start, stop, layout, parts)
        keys = ((step.start, step.stop, len(step.part_ms), step.layout.name) for step in steps)
        return [found[key] for key in keys if key in found]

    def _of_part(self, part: Part, state: State, steps: Sequence[Step]) -> dict[int, PartProfile]:
        """One part of steps with the same end and layout, by their start."""
        stop, starts = steps[0].stop, {step.start: step for step in steps}
        tally = self._tally(stop, state)
        at, reach, found = state, len(self._nodes), {}
        for layer in range(stop - 1, min(starts) - 1, -1):
            passed = self._walks.back(at, part, layer)
            if passed is None:
                break
            tally.add(layer, passed)
            at, reach = passed.state, min(reach, passed.reach)
            if layer in starts and reach >= self._layers[layer].start:
                found[layer] = tally.profile(part, starts[layer])
        for start in starts.keys() - found.keys():
            # Rules looked beyond the start: as a model of its own, the step is something else there.
            with suppress(ConflictError):
                found[start] = self._alone(part, state, starts[start])
        return found

    def _alone(self, part: Part, state: State, step: Step) -> PartProfile:
        tally = self._tally(step.stop, state)
        for layer, passed in self._walks.inside(state, part, step.stop, step.start):
            tally.add(layer, passed)
        return tally.profile(part, step)

    def _tally(self, stop: int, state: State) -> "_Tally":
        memory = PartMemory(self._lifetimes, self._sizes, stop, map(name_of, state.wanted))
        return _Tally(self._walks.boundaries, self._weights, self._sizes, memory, state)


class _Tally:
    """What a part has come to in its backward pass."""

    def __init__(
        self,
        boundaries: Boundaries,
        weights: Mapping[str, WeightProfile],
        sizes: Mapping[str, int],
        memory: PartMemory,
        state: State,
    ) -> None:
        self._boundaries, self._weights, self._sizes, self._memory = boundaries, weights, sizes, memory
        self._wanted, self._state = state.wanted, state
        self._needed: dict[ir.Value, Piece] = {}
        self._resident = self._in_file = 0.0

    def add(self, layer: int, passed: LayerShare) -> None:
        """One more layer."""
        for value, piece in passed.weights:
            known = self._needed.get(value)
            needed = union(known, piece, size_along(value, piece))
            assert needed is not None
            if needed != known:
                more = fraction(value, needed) - (0.0 if known is None else fraction(value, known))
                weight = self._weights.get(name_of(value))
                self._resident += weight.resident_bytes * more if weight else 0.0
                self._in_file += weight.file_bytes * more if weight else 0.0
                self._needed[value] = needed
        self._memory.add(layer, passed.made)
        self._state = passed.state

    def profile(self, part: Part, step: Step) -> PartProfile:
        """Of a step that begins with the last layer that was added."""
        made = self._boundaries.made_in
        wanted = {value: piece for value, piece in self._wanted.items() if made(value) >= step.start}
        inputs = tuple(share_of(name_of(value), piece) for value, piece in self._state.needs.items())
        outputs = tuple(share_of(name_of(value), piece) for value, piece in wanted.items())
        crossing = sum(self._bytes(value, piece) for value, piece in (*self._state.needs.items(), *wanted.items()))
        return PartProfile(
            part=GraphPart(part.index, part.count, inputs, outputs),
            time_share=round(step.part_ms[part.index] / step.whole_ms, _DIGITS),
            resident_bytes=round(self._resident),
            file_bytes=round(self._in_file),
            activation_bytes=self._memory.most_bytes(step.start) + crossing,
        )

    def _bytes(self, value: ir.Value, piece: Piece) -> int:
        return round(self._sizes.get(name_of(value), 0) * fraction(value, piece.hull()))
