"""Fewer positions for large models: neighbouring layers that are alike are moved together.

The rule, for K positions: layers are gathered, from the first on, until a group's shares of the model's time and of its
resident weights come to 4/K together; the group then ends at the best position to cut at in its later half. Best is the
one with the fewest bytes across it, and of positions with about as many, the one whose two neighbours differ most in
time and weights. So no cut of the full problem is more than a group away from one that is kept, and layers that differ
stay apart. Where parts may compute steps, their ends are kept as well. ``benchmarks/planner_growth`` measures what is
lost.
"""

import numpy as np

from mopar.planning.arithmetic import Floats, elapsed_ms
from mopar.types import Profile

ALL_UP_TO = 600
"""So many positions are all looked at: with the five CPU sizes of a Kubernetes book and an SLO, in about a second."""
MOST_POSITIONS = 400
"""Of more, the search looks at so many at most, unless it is asked to be exact."""
_LOOK_BACK = 0.5
"""Part of a group, from its end, in which the best position is sought."""
_ALIKE_BYTES = 1.25


def thinned(profile: Profile, positions: list[int], most: int | None = None) -> list[int]:
    """At most ``most`` of the cut positions (ascending); all of them where they are no more. Linear in layers.

    By default ``MOST_POSITIONS``, where they are more than ``ALL_UP_TO``. Those where steps of the profile begin or end
    are among them, as long as they are no more than half: a step between others could not be used.
    """
    if len(positions) <= (ALL_UP_TO if most is None else most):
        return positions
    most = MOST_POSITIONS if most is None else most
    ends = {place for step in profile.shards for place in (step.start, step.stop)}.intersection(positions)
    if len(ends) <= most // 2:
        return sorted(ends.union(_gathered(profile, positions, most - len(ends))))
    return _gathered(profile, positions, most)


def _gathered(profile: Profile, positions: list[int], most: int) -> list[int]:
    """Where groups of layers end that hold about as much each."""
    load = load_before(profile)
    bytes_across = {cut.index: cut.bytes for cut in profile.cut_positions}
    differs = _difference(profile)
    kept: list[int] = []
    share, begin = 2.0 / (most * (1 - _LOOK_BACK)), 0
    window: list[int] = []
    for position in positions:
        window.append(position)
        if load[position] - load[begin] < share:
            continue
        from_load = load[begin] + (1 - _LOOK_BACK) * share
        eligible = [at for at in window if load[at] >= from_load] or window
        begin = _best(eligible, bytes_across, differs)
        kept.append(begin)
        window = [at for at in window if at > begin]
    return kept


def _best(positions: list[int], bytes_across: dict[int, int], differs: Floats) -> int:
    least = min(bytes_across[at] for at in positions)
    close = [at for at in positions if bytes_across[at] <= _ALIKE_BYTES * least]
    return max(close, key=lambda at: float(differs[at]))


def load_before(profile: Profile) -> Floats:
    """Before each position, the share of the time plus that of the weights; ends at 2."""
    time = np.array(elapsed_ms(profile))
    weights = np.concatenate([[0.0], np.cumsum(_weights(profile))])
    load: Floats = time / max(float(time[-1]), 1e-12) + weights / max(float(weights[-1]), 1.0)
    return load


def _weights(profile: Profile) -> list[float]:
    """Resident bytes of each layer's weights, a shared weight where it is read first."""
    sizes = {weight.name: float(weight.resident_bytes) for weight in profile.weights}
    return [sum(sizes.pop(name, 0.0) for name in set(layer.weights)) for layer in profile.layers]


def _difference(profile: Profile) -> Floats:
    """At each position, how far the layers before and after it differ in the logarithms of time and weights."""
    time = np.log1p(np.array([layer.latency_ms for layer in profile.layers]) * 1e3)
    weights = np.log1p(np.array(_weights(profile)) / 1024.0)
    steps = np.abs(np.diff(time)) + np.abs(np.diff(weights))
    return np.concatenate([[0.0], steps, [0.0]])
