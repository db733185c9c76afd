from pathlib import Path

import numpy as np
import pytest

from mopar.profiling import load_inputs, sample_inputs
from mopar.types import InputError, TensorSpec

TOKENS = TensorSpec("ids", "int64", ("batch", "seq"))
MASK = TensorSpec("attention_mask", "int64", ("batch", "seq"))
PICTURE = TensorSpec("picture", "float32", (1, 3, 8, 8))


def test_each_kind_of_input_is_made_as_its_recipe_says() -> None:
    specs = (
        PICTURE,
        TOKENS,
        MASK,
        TensorSpec("flag", "bool", (2,)),
        TensorSpec("text", "string", (2,)),
        TensorSpec("brain", "bfloat16", (4,)),
    )
    values, recipes = sample_inputs(specs, shapes={"ids": (2, 50)}, seed=3)
    assert [recipe.source for recipe in recipes] == ["normal", "integers", "ones", "ones", "strings", "normal"]
    assert all(values[recipe.name].shape == recipe.shape for recipe in recipes)
    assert set(values["ids"].ravel().tolist()) == {0, 1}
    assert values["attention_mask"].min() == 1
    assert values["text"].tolist() == ["a", "a"]
    assert values["brain"].dtype == np.uint16


def test_the_seed_alone_decides_the_values() -> None:
    first, second, other = (sample_inputs((PICTURE,), seed=seed)[0]["picture"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_a_symbol_takes_its_size_from_whichever_input_gives_it() -> None:
    values, _ = sample_inputs((MASK, TOKENS), shapes={"ids": (1, 7)})
    assert values["attention_mask"].shape == (1, 7)


def test_given_values_are_used_as_they_are() -> None:
    given = np.full((1, 3, 8, 8), 7, np.float32)
    values, (recipe,) = sample_inputs((PICTURE,), given={"picture": given})
    assert values["picture"] is given
    assert (recipe.source, recipe.seed) == ("file", None)


@pytest.mark.parametrize(
    ("specs", "shapes", "message"),
    [
        ((TOKENS,), {}, r"'ids' \(batchxseq\) has dynamic dimensions: give --input ids=SHAPE"),
        ((TOKENS,), {"id": (1, 2)}, "no input 'id'; its inputs are ids"),
        ((TOKENS,), {"ids": (1, 2, 3)}, "rank 2"),
        ((PICTURE,), {"picture": (1, 3, 8, 9)}, "1x3x8x8, which 1x3x8x9 does not fit"),
        ((TOKENS, MASK), {"ids": (1, 7), "attention_mask": (1, 8)}, "'seq' is 7 in input 'ids' but 8"),
        ((TensorSpec("x", "float32", None),), {}, "unknown rank"),
        ((TensorSpec("x", "int4", (2,)),), {}, "cannot make int4"),
    ],
)
def test_inputs_that_do_not_fit_name_themselves(
    specs: tuple[TensorSpec, ...], shapes: dict[str, tuple[int, ...]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        sample_inputs(specs, shapes=shapes)


def test_dtypes_are_checked_never_converted() -> None:
    with pytest.raises(InputError, match="'picture' is float32, not float64"):
        sample_inputs((PICTURE,), dtypes={"picture": "float64"})
    with pytest.raises(InputError, match="the given array is float64"):
        sample_inputs((PICTURE,), given={"picture": np.zeros((1, 3, 8, 8))})


def test_an_archive_gives_its_arrays_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", x=np.arange(3))
    np.testing.assert_array_equal(load_inputs(tmp_path / "in.npz")["x"], [0, 1, 2])


@pytest.mark.parametrize("kind", ["missing", "text", "array", "pickle", "cut"])
def test_what_is_no_archive_of_plain_arrays_is_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "in.npz"
    if kind == "text":
        path.write_text("not an archive")
    elif kind == "array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    elif kind == "pickle":
        np.savez(path, x=np.array([{}], dtype=object))
    elif kind == "cut":
        np.savez(path, x=np.zeros(1000))
        path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match=r"in\.npz") as caught:
        load_inputs(path)
    assert "\n" not in str(caught.value)
