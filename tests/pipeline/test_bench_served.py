"""Interleaved requests: who follows whom, and what is counted."""

from collections import Counter
from itertools import pairwise

from mopar.pipeline.bench.served import orders


def test_every_round_has_each_configuration_once_in_another_order() -> None:
    rounds = list(orders(6, 100))
    assert all(sorted(order) == list(range(6)) for order in rounds)
    assert rounds == list(orders(6, 100)), "a run can be repeated"
    follows = Counter(pair for order in rounds for pair in pairwise(order))
    # Each of 30 pairs is expected in 100 / 6 rounds; in a fixed order five are in all of them, the rest in none.
    assert len(follows) == 30
    assert max(follows.values()) < 2 * 100 / 6
