"""Output shapes computed from input shapes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopar.bundle.call_shapes import bind_dimensions, resolve_shape, tensor_bytes
from mopar.types import Dim, RequestError, TensorSpec

SIZES = st.dictionaries(st.sampled_from("abc"), st.integers(0, 9), min_size=3)
DIMS: st.SearchStrategy[list[Dim]] = st.lists(st.integers(0, 9) | st.sampled_from(["a", "b", "c"]), max_size=5)


@given(SIZES, st.lists(DIMS, min_size=1, max_size=4))
def test_what_was_made_by_sizes_gives_those_sizes(sizes: dict[str, int], shapes: list[list[Dim]]) -> None:
    specs = [TensorSpec(f"x{number}", "float32", tuple(dims)) for number, dims in enumerate(shapes)]
    given = {spec.name: resolve_shape(spec, sizes) for spec in specs}
    found = bind_dimensions(specs, {name: shape for name, shape in given.items() if shape is not None})
    used = {dim for dims in shapes for dim in dims if isinstance(dim, str)}
    assert found == {name: size for name, size in sizes.items() if name in used}


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2,), "input x has shape 2, the model takes nx3"),
        ((2, 4), "input x has shape 2x4, the model takes nx3"),
        ((), "input x has shape scalar, the model takes nx3"),
        ((5, 3), "input y: dimension n is 2 here and 5 in another input"),
    ],
)
def test_what_does_not_fit_is_named(shape: tuple[int, ...], message: str) -> None:
    specs = [TensorSpec("x", "float32", ("n", 3)), TensorSpec("y", "float32", ("n", None))]
    with pytest.raises(RequestError, match=message):
        bind_dimensions(specs, {"x": shape, "y": (2, 7)})


def test_what_does_not_follow_is_not_guessed() -> None:
    assert resolve_shape(TensorSpec("x", "float32", ("n", "m")), {"n": 1}) is None
    assert resolve_shape(TensorSpec("x", "float32", (1, None)), {}) is None
    assert resolve_shape(TensorSpec("x", "float32", None), {}) is None
    assert resolve_shape(TensorSpec("x", "float32", ()), {}) == ()
    assert bind_dimensions([TensorSpec("x", "float32", None)], {"x": (1, 2, 3)}) == {}


def test_bytes_of_a_tensor() -> None:
    assert tensor_bytes("float16", (2, 3)) == 12
    assert tensor_bytes("int4", (3,)) == 2
    assert tensor_bytes("float32", (0, 3)) == 0
    assert tensor_bytes("int64", ()) == 8
    assert tensor_bytes("string", (3,)) is None
