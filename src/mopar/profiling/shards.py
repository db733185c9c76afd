"""Which runs of layers parts could compute side by side, and what each part would need: for the planner."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import onnx_ir as ir

from mopar.graph import Layer, Model
from mopar.graph.model import is_weight, name_of
from mopar.profiling.liveness import live_bytes
from mopar.profiling.parts import steps_of
from mopar.sharding import Part, Piece, share_of
from mopar.sharding.propagate import Propagation, propagate, size_along
from mopar.sharding.steps import Boundaries, Step, candidate_steps
from mopar.types import CutPosition, GraphPart, LayerProfile, PartProfile, ShardStep, WeightProfile
from mopar.types.profile import PARTS

_LEAST_GAIN = 0.003
"""A step that saves less than this share of the model's time is not worth the calls that it needs."""
_MOST_EXCHANGE_MS = 3.0
"""Where a chain of shorter steps is quicker by more than this for each exchange, the longer step is dropped."""
_MOST_POSITIONS = 96


def shard_steps(
    model: Model,
    layers: Sequence[Layer],
    profiles: Sequence[LayerProfile],
    weights: Sequence[WeightProfile],
    cuts: Sequence[CutPosition],
    sizes: Mapping[str, int],
    parts: Sequence[int] = PARTS,
) -> tuple[ShardStep, ...]:
    """Steps worth considering, by number of parts, then by start.

    Args:
        model: in canonical form.
        layers: of it.
        profiles: what was measured of them.
        weights: what weights take.
        cuts: where a step may begin or end; of many, those that least crosses.
        sizes: bytes of every tensor, by name.
        parts: numbers of parts to consider.
    """
    positions = [0, *_narrow(cuts), len(layers)]
    layer_ms = [profile.latency_ms for profile in profiles]
    writer = _Writer(model, layers, layer_ms, {weight.name: weight for weight in weights}, sizes)
    found: list[ShardStep] = []
    for count in parts:
        steps = candidate_steps(model, layers, layer_ms, positions, count)
        kept = _worth_keeping(steps, positions, layer_ms)
        found.extend(writer.written(step) for step in kept)
    return tuple(found)


def _narrow(cuts: Sequence[CutPosition]) -> list[int]:
    """Of many positions, those with the fewest bytes in a neighbourhood."""
    group = -(-len(cuts) // _MOST_POSITIONS)
    groups = [cuts[at : at + group] for at in range(0, len(cuts), group or 1)]
    return [min(some, key=lambda cut: cut.bytes).index for some in groups]


def _worth_keeping(steps: Iterable[Step], positions: Sequence[int], layer_ms: Sequence[float]) -> list[Step]:
    """The quickest step of each span, without those that shorter ones do better by more than exchanges cost."""
    best: dict[tuple[int, int], Step] = {}
    least_ms = _LEAST_GAIN * sum(layer_ms)
    for step in steps:
        known = best.get((step.start, step.stop))
        if step.whole_ms - step.compute_ms >= least_ms and (known is None or step.compute_ms < known.compute_ms):
            best[step.start, step.stop] = step
    kept: list[Step] = []
    for start in positions[:-1]:
        through = _chains(start, best, positions, layer_ms)
        kept.extend(
            step
            for (begin, stop), step in best.items()
            if begin == start and step.compute_ms <= through[stop] + _MOST_EXCHANGE_MS
        )
    return kept


def _chains(
    start: int, best: Mapping[tuple[int, int], Step], positions: Sequence[int], layer_ms: Sequence[float]
) -> dict[int, float]:
    """Least time from ``start`` to each later position, in steps or not, where exchanges cost the most they may."""
    least = {start: -_MOST_EXCHANGE_MS}
    after = [position for position in positions if position >= start]
    for before, position in pairwise(after):
        options = [least[before] + sum(layer_ms[before:position])]
        options += [
            least[begin] + best[begin, position].compute_ms + _MOST_EXCHANGE_MS
            for begin in after
            if begin < position and (begin, position) in best
        ]
        least[position] = min(options)
    return least


class _Writer:
    """Works out what each part of a step needs."""

    def __init__(
        self,
        model: Model,
        layers: Sequence[Layer],
        layer_ms: Sequence[float],
        weights: Mapping[str, WeightProfile],
        sizes: Mapping[str, int],
    ) -> None:
        self._model, self._layers, self._weights, self._sizes = model, layers, weights, sizes
        self._layer_ms = layer_ms
        self._boundaries = Boundaries(model, layers)
        self._steps = [steps_of(model, layer) for layer in layers]

    def written(self, step: Step) -> ShardStep:
        count = len(step.layout.wanted)
        parts = tuple(self._part(step, Part(index, count)) for index in range(count))
        return ShardStep(step.start, step.stop, step.layout.name, parts)

    def _part(self, step: Step, part: Part) -> PartProfile:
        nodes = self._model.nodes[self._layers[step.start].start : self._layers[step.stop - 1].stop]
        leaving = [value for value in self._boundaries.leaving(step.stop) if self._made_inside(value, step)]
        wanted = {value: piece for value, piece in step.layout.wanted[part.index].items() if value in set(leaving)}
        found = propagate(nodes, wanted, leaving, part)
        needs = {value: piece for value, piece in found.needs.items() if not is_weight(value)}
        entering = {value: piece for value, piece in needs.items() if not self._made_inside(value, step)}
        inputs = tuple(share_of(name_of(value), piece) for value, piece in entering.items())
        outputs = tuple(share_of(name_of(value), piece) for value, piece in wanted.items())
        resident, in_file = self._weight_bytes(found)
        return PartProfile(
            part=GraphPart(part.index, part.count, inputs, outputs),
            time_share=step.part_ms[part.index] / step.whole_ms,
            resident_bytes=round(resident),
            file_bytes=round(in_file),
            activation_bytes=self._active_bytes(step, found, entering, wanted),
        )

    def _made_inside(self, value: ir.Value, step: Step) -> bool:
        return step.start <= self._boundaries.made_in(value) < step.stop

    def _weight_bytes(self, found: Propagation) -> tuple[float, float]:
        """Resident, and in the built file: each weight by the share that the part has of it."""
        resident = in_file = 0.0
        for value, piece in found.needs.items():
            weight = self._weights.get(name_of(value)) if is_weight(value) else None
            if weight is not None:
                resident += weight.resident_bytes * _fraction(value, piece)
                in_file += weight.file_bytes * _fraction(value, piece)
        return resident, in_file

    def _active_bytes(
        self,
        step: Step,
        found: Propagation,
        entering: Mapping[ir.Value, Piece],
        wanted: Mapping[ir.Value, Piece],
    ) -> int:
        """The most that a part's tensors take at once; inputs and outputs are there throughout."""
        sizes = {}
        for node, how in found.shards.items():
            for value, piece in zip(node.outputs, how.outputs, strict=True):
                if value.name:
                    share = 0.0 if piece is None else _fraction(value, piece)
                    sizes[value.name] = round(self._sizes.get(value.name, 0) * share)
        boundary = {name_of(value): self._bytes(value, piece) for value, piece in (*entering.items(), *wanted.items())}
        run = [one for steps in self._steps[step.start : step.stop] for one in steps]
        inner = dict.fromkeys((name for one in run for name in (*one.reads, *one.makes)), 0) | sizes
        inner.update(dict.fromkeys(boundary, 0))
        held = live_bytes(run, inner, [], [], len(self._layers))
        return max(held[step.start : step.stop], default=0) + sum(boundary.values())

    def _bytes(self, value: ir.Value, piece: Piece) -> int:
        return round(self._sizes.get(name_of(value), 0) * _fraction(value, piece.hull()))


def _fraction(value: ir.Value, piece: Piece) -> float:
    size = size_along(value, piece)
    return piece.size / size if size else 1.0
