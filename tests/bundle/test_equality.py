"""Definition of equal outputs."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mopar.bundle import compare, compare_all
from mopar.bundle.equality import Array

TOLERANCES = {"float16": 5e-3, "float32": 1e-4, "float64": 1e-4}
KINDS = st.sampled_from(["float16", "float32", "float64", "int64", "uint64", "uint8", "bool", "complex64"])
ARRAYS = KINDS.flatmap(lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, min_side=0, max_side=4)))


@given(ARRAYS)
def test_every_array_equals_itself(array: Array) -> None:
    """Also arrays with NaN, infinities, numbers whose difference overflows, and empty ones."""
    difference = compare("y", array.copy(), array)
    assert difference.equal
    assert difference.max_abs_error == 0.0


@given(
    hnp.arrays("float32", (5,), elements=st.floats(-100, 100, width=32)),
    st.floats(1e-6, 1e-2),
    st.integers(0, 4),
    st.sampled_from(sorted(TOLERANCES)),
)
def test_floats_are_equal_within_a_share_of_the_largest_value(want: Array, share: float, at: int, kind: str) -> None:
    """Compared with the definition: max|got - want| / max|want|."""
    expected = want.astype(kind)
    got = expected.copy()
    got[at] += np.abs(want).max() * share
    error = np.abs(got.astype(float) - expected.astype(float)).max()
    scale = np.abs(expected.astype(float)).max()
    difference = compare("y", got, expected)
    assert difference.max_abs_error == error
    assert difference.equal == (error == 0 or (scale > 0 and error / scale <= TOLERANCES[kind]))


@given(hnp.arrays("int64", (3,)), hnp.arrays("int64", (3,)))
def test_integers_are_equal_only_where_every_one_is(got: Array, want: Array) -> None:
    """Also beyond 2^53, where neighbouring integers are equal as floats."""
    assert compare("y", got, want).equal == (got.tolist() == want.tolist())
    nudged = want.copy()
    nudged[0] ^= 1
    assert not compare("y", nudged, want).equal


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "complex64"])
def test_what_is_not_finite_must_be_the_same(odd: float, kind: str) -> None:
    want = np.array([1.0, odd, 2.0]).astype(kind)
    assert compare("y", want.copy(), want).equal
    for other in {np.nan, np.inf, -np.inf, 0.0} - {odd}:
        got = want.copy()
        got[1] = other
        if not (np.isnan(other) and np.isnan(odd)):
            for difference in (compare("y", got, want), compare("y", want, got)):
                assert not difference.equal
                assert difference.max_rel_error == np.inf


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (np.zeros((1, 0)), np.zeros((0, 1))),
        (np.zeros(()), np.zeros(1)),
        (np.zeros(2, np.float32), np.zeros(2)),
        (np.array(["a", "b"], object), np.array(["a", "c"], object)),
        (np.array([1e-9]), np.array([0.0])),
        (np.array([True]), np.array([False])),
    ],
)
def test_other_shapes_types_and_texts_are_other_answers(got: Array, want: Array) -> None:
    assert not compare("y", got, want).equal


def test_texts_compare_as_texts() -> None:
    texts = np.array([["", "a\0"], ["ü", b"\xff"]], object)
    assert compare("y", texts.copy(), texts).equal


def test_small_floats_compare_bit_by_bit() -> None:
    """A NaN among them equals itself."""
    want = np.array([1.0, np.nan, -2.0]).astype(ml_dtypes.float8_e5m2)
    assert compare("y", want.copy(), want).equal
    assert not compare("y", -want, want).equal


def test_numbers_at_the_ends_of_their_range_are_compared_without_a_warning() -> None:
    most = np.array([np.finfo(np.float64).max])
    assert compare("y", -most, most).max_abs_error == np.inf


def test_an_output_that_is_missing_is_no_answer() -> None:
    """Whatever its expected value is, even empty."""
    nothing = np.empty((0, 0), bool)
    assert [difference.equal for difference in compare_all({"a": nothing}, {"a": nothing, "b": nothing})] == [
        True,
        False,
    ]
