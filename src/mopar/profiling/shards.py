"""Which runs of layers parts could compute side by side, and what each part would need: for the planner."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from mopar.graph import Layer, Model
from mopar.profiling.shard_parts import Writer
from mopar.sharding.backward import BackwardPass
from mopar.sharding.steps import Step, candidate_steps
from mopar.types import CutPosition, LayerProfile, ShardStep, WeightProfile
from mopar.types.profile import PARTS

_LEAST_GAIN = 0.003
"""A step that saves less than this share of the model's time is not worth the calls that it needs."""
_LEAST_GAIN_MS = 0.02
"""Nor is one that saves less than this: another function costs more, however small the model."""
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
    walks = BackwardPass(model, layers)
    writer = Writer(model, layers, walks, {weight.name: weight for weight in weights}, sizes)
    found: list[ShardStep] = []
    for count in parts:
        steps = candidate_steps(model, layers, layer_ms, positions, count, walks)
        found.extend(writer.written(_worth_keeping(steps, positions, layer_ms)))
    return tuple(found)


def _narrow(cuts: Sequence[CutPosition]) -> list[int]:
    """Of many positions, those with the fewest bytes in a neighbourhood."""
    group = -(-len(cuts) // _MOST_POSITIONS)
    groups = [cuts[at : at + group] for at in range(0, len(cuts), group or 1)]
    return [min(some, key=lambda cut: cut.bytes).index for some in groups]


def _worth_keeping(steps: Iterable[Step], positions: Sequence[int], layer_ms: Sequence[float]) -> list[Step]:
    """The quickest step of each span, without those that shorter ones do better by more than exchanges cost."""
    best: dict[tuple[int, int], Step] = {}
    least_ms = max(_LEAST_GAIN * sum(layer_ms), _LEAST_GAIN_MS)
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
