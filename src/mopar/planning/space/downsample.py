"""Downsampling of cut positions for large models: neighbouring similar layers are kept together.

The rule, for K positions: layers are grouped, from the first on, until a group's shares of the model's time and of its
resident weights add up to 4/K; the group then ends at the best cut position in its later half. Best is the one with the
fewest bytes across it, and among positions with about as many, the one whose two neighbours differ most in time and
weights. So every cut of the full problem is within one group of one that is kept, and dissimilar layers stay apart.
Where there are sharding steps, their ends are kept as well. ``benchmarks/planner_growth`` measures the loss.
"""

import numpy as np

from mopar.planning.model.memory import first_read_bytes
from mopar.planning.numbers import Floats
from mopar.planning.space.question import Question


def downsampled(question: Question, positions: list[int], most: int | None = None) -> list[int]:
    """At most ``most`` of the cut positions (ascending); all of them if they are no more. Linear in layers.

    By default the policy's ``most_positions``, where they are more than its ``all_positions_up_to``. Those where steps
    of the profile begin or end are among them, as long as they are no more than half: a step between others could not
    be used.
    """
    policy = question.policy
    enough = policy.all_positions_up_to if most is None else most
    if enough is None or len(positions) <= enough:
        return positions
    most = policy.most_positions if most is None else most
    ends = {place for step in question.model.profile.shards for place in (step.start, step.stop)}.intersection(
        positions
    )
    if len(ends) <= most // 2:
        return sorted(ends.union(_gathered(question, positions, most - len(ends))))
    return _gathered(question, positions, most)


def _gathered(question: Question, positions: list[int], most: int) -> list[int]:
    """The ends of groups of layers with about equal shares."""
    policy, load = question.policy, load_before(question)
    bytes_across = {cut.index: question.model.sent_bytes(cut) for cut in question.model.profile.cut_positions}
    differs = _difference(question)
    kept: list[int] = []
    share, begin = 2.0 / (most * (1 - policy.look_back)), 0
    window: list[int] = []
    for position in positions:
        window.append(position)
        if load[position] - load[begin] < share:
            continue
        from_load = load[begin] + (1 - policy.look_back) * share
        eligible = [at for at in window if load[at] >= from_load] or window
        least = min(bytes_across[at] for at in eligible)
        close = [at for at in eligible if bytes_across[at] <= policy.alike_bytes * least]
        begin = max(close, key=lambda at: float(differs[at]))
        kept.append(begin)
        window = [at for at in window if at > begin]
    return kept


def load_before(question: Question) -> Floats:
    """For each position, the layers' share of the time before it plus that of the weights; ends at 2."""
    time = np.array(question.model.one_ms)
    weights = np.concatenate([[0.0], np.cumsum(first_read_bytes(question.model.profile))])
    load: Floats = time / max(float(time[-1]), 1e-12) + weights / max(float(weights[-1]), 1.0)
    return load


def _difference(question: Question) -> Floats:
    """At each position, how much the layers before and after it differ in the logarithms of time and weights."""
    profile = question.model.profile
    time = np.log1p(np.array([layer.latency_ms for layer in profile.layers]) * 1e3)
    weights = np.log1p(np.array(first_read_bytes(profile)) / 1024.0)
    steps = np.abs(np.diff(time)) + np.abs(np.diff(weights))
    return np.concatenate([[0.0], steps, [0.0]])
