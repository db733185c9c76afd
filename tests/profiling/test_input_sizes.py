"""Sizes of inputs: a size given for one input holds for all with the same dimension; missing ones are named."""

import numpy as np
import pytest

from mopar.profiling import resized_inputs, sample_inputs
from mopar.profiling.input_sizes import resolve_sizes, stated_sizes
from mopar.shapes import parse_shapes
from mopar.types import InputError, TensorSpec
from mopar.types.ranges import StatedShape

IDS = TensorSpec("ids", "int64", ("batch", "seq"))
MASK = TensorSpec("mask", "int64", ("batch", "seq"))
PICTURE = TensorSpec("picture", "float32", (1, 3, None, 8))


def stated(**shapes: str) -> dict[str, StatedShape]:
    return parse_shapes(shapes)


def test_a_range_holds_for_every_input_that_has_the_dimension() -> None:
    sizes = resolve_sizes((IDS, MASK), stated(ids="2x1..64..512"))
    assert sizes.point == {"ids": (2, 64), "mask": (2, 64)}
    assert sizes.largest == {"ids": (2, 512), "mask": (2, 512)}
    assert sizes.smallest == {"ids": (0, 1), "mask": (0, 1)}
    assert [item.text for item in sizes.ranges] == ["ids=2x1..512", "mask=2x1..512"]
    assert sizes.stated


def test_a_point_is_the_largest_size() -> None:
    sizes = resolve_sizes((IDS, PICTURE), stated(ids="2x64", picture="1x3x16x8"))
    assert sizes.largest == sizes.point
    assert not sizes.stated
    assert [item.holds((1, 3, 9, 8)) for item in sizes.ranges] == [False, True]
    assert not sizes.ranges[1].holds((1, 2, 9, 8))


def test_values_are_the_point_and_a_range_stays_around_them() -> None:
    sizes = stated_sizes((IDS,), stated(ids="1..4x1..512"), {"ids": np.zeros((2, 30), np.int64)})
    assert (sizes.point, sizes.largest) == ({"ids": (2, 30)}, {"ids": (4, 512)})
    with pytest.raises(InputError, match="2x600, outside of the range stated for it"):
        stated_sizes((IDS,), stated(ids="1..4x1..512"), {"ids": np.zeros((2, 600), np.int64)})


@pytest.mark.parametrize(
    ("specs", "shapes", "message"),
    [
        ((IDS, MASK, PICTURE), {}, "give --input ids=SHAPE --input picture=SHAPE, "),
        (
            (IDS, MASK),
            {"ids": "1x1..4..8", "mask": "1x1..4..9"},
            "'seq' has one range in input 'ids' and another",
        ),
        ((PICTURE,), {"picture": "1x1..3x9x8"}, "takes no range"),
        ((PICTURE,), {"pictures": "1x3x9x8"}, "no input 'pictures'"),
    ],
)
def test_what_does_not_fit_is_named(specs: tuple[TensorSpec, ...], shapes: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        stated_sizes(specs, stated(**shapes), {})


def test_other_sizes_are_made_as_the_measured_ones_were() -> None:
    """Given values are repeated, so that the model still accepts them; random ones are drawn again."""
    given = np.array([[3, 1, 2]])
    values, recipes = sample_inputs((IDS, MASK), given={"ids": given})
    larger = resized_inputs((IDS, MASK), values, recipes, {"ids": (2, 7), "mask": (2, 7)})
    np.testing.assert_array_equal(larger["ids"], [[3, 1, 2, 3, 1, 2, 3]] * 2)
    np.testing.assert_array_equal(larger["mask"], np.ones((2, 7)))
    same = resized_inputs((IDS, MASK), values, recipes, {"ids": (1, 3), "mask": (1, 3)})
    np.testing.assert_array_equal(same["ids"], given)
