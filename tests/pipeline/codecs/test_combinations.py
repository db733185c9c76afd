"""Combinations of codecs against all of them."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from mopar.pipeline.codecs.combinations import Option, combinations
from mopar.types import TensorCoding

CODING = TensorCoding("int8", 0.25, 0.1, 0.1)
figures = st.integers(0, 6).map(float)
tensors = st.lists(st.lists(st.tuples(figures, figures), max_size=3), max_size=3)


@given(tensors, figures)
def test_none_that_is_left_out_gains_more_and_loses_less(drawn: list[list[tuple[float, float]]], most: float) -> None:
    options = {
        f"t{number}": [Option(None, 0.0, 0.0), *(Option(CODING, gain, lost) for gain, lost in own)]
        for number, own in enumerate(drawn)
    }
    found = combinations(options, most)
    sums = {(sum(one.gain for one in each), sum(one.lost for one in each)) for each in product(*options.values())}
    kept = {(gain, lost) for gain, lost in sums if lost <= most}
    best = {
        (gain, lost)
        for gain, lost in kept
        if not any(more != (gain, lost) and more[0] >= gain and more[1] <= lost for more in kept)
    }
    assert {(one.gain, one.lost) for one in found} == best
    assert [one.lost for one in found] == sorted(one.lost for one in found)


def test_many_are_downsampled() -> None:
    options = {f"t{number}": [Option(None, 0.0, 0.0), Option(CODING, 2.0**number, 2.0**number)] for number in range(12)}
    found = combinations(options, float("inf"))
    assert len(found) == 400
    assert (found[0].gain, found[-1].gain) == (0.0, 2.0**12 - 1)
