"""Sample inputs: made from a seed, or given, and checked against the model."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mopar.machine import available_bytes
from mopar.profiling.input_sizes import check_names, resolve_sizes
from mopar.types import InputError, InputRecipe, TensorSpec, dtype_of_name, element_count, format_shape
from mopar.types.ranges import StatedShape

_DRAWN_BYTES = 8
"""Of an element as it is drawn, before it becomes what the model takes."""
Array = NDArray[np.generic]
"""A tensor's value. bfloat16 and float8 stand as the unsigned integers of their bits."""

_FLOATS = {"float16", "float32", "float64"}
_COMPLEX = {"complex64", "complex128"}
_INTEGERS = {"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}
_BITS_AS = {"bfloat16": "uint16", "float8_e4m3fn": "uint8", "float8_e4m3fnuz": "uint8",
            "float8_e5m2": "uint8", "float8_e5m2fnuz": "uint8"}  # fmt: skip


def sample_inputs(
    model_inputs: tuple[TensorSpec, ...],
    *,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    dtypes: Mapping[str, str] | None = None,
    seed: int = 0,
    given: Mapping[str, Array] | None = None,
) -> tuple[dict[str, Array], tuple[InputRecipe, ...]]:
    """One value for every input of a model, and how each was made.

    Floats are N(0, 1), integers uniform from 0 and 1, masks (booleans, and inputs whose name contains
    ``mask``) 1, strings ``a``, unless ``given``. The same seed makes the same values.

    Args:
        model_inputs: what the model takes.
        shapes: the point to measure, by input; may leave out inputs whose dimensions are fixed or
            follow from another input's by the name of a dimension.
        dtypes: by input, as the caller expects them; checked, never converted.
        seed: of the random generator.
        given: values to use as they are.

    Raises:
        InputError: a name is unknown, a dimension stays open or has two sizes, a dtype or rank differs from the
            model's, or there is no memory for the values.
    """
    shapes, dtypes, given = shapes or {}, dtypes or {}, given or {}
    check_names(model_inputs, {**shapes, **dtypes, **given})
    for spec in model_inputs:
        _check_dtype(spec, dtypes.get(spec.name), given.get(spec.name))
    known = {**shapes, **{name: value.shape for name, value in given.items()}}
    concrete = resolve_sizes(model_inputs, {name: StatedShape.of(shape) for name, shape in known.items()}).point
    _check_memory(model_inputs, {name: shape for name, shape in concrete.items() if name not in given})
    rng = np.random.default_rng(seed)
    values: dict[str, Array] = {}
    recipes = []
    for spec in model_inputs:
        shape = concrete[spec.name]
        if spec.name in given:
            values[spec.name], source = given[spec.name], "file"
        else:
            values[spec.name], source = _value(spec, shape, rng)
        recipes.append(InputRecipe(spec.name, spec.dtype, shape, source, None if source == "file" else seed))
    return values, tuple(recipes)


def resized_inputs(
    model_inputs: tuple[TensorSpec, ...],
    values: Mapping[str, Array],
    recipes: Sequence[InputRecipe],
    shapes: Mapping[str, tuple[int, ...]],
) -> dict[str, Array]:
    """Values of other shapes: made as the others were, or, of values that were given, their elements over again.

    Args:
        model_inputs: what the model takes.
        values: of each input.
        recipes: how they were made.
        shapes: of each input, of the same rank.

    Raises:
        InputError: there is no memory for them.
    """
    changed = {name: shape for name, shape in shapes.items() if values[name].shape != shape}
    _check_memory(model_inputs, changed)
    rng = np.random.default_rng(next((recipe.seed for recipe in recipes if recipe.seed is not None), 0))
    given = {recipe.name for recipe in recipes if recipe.source == "file"}
    made = {}
    for spec in model_inputs:
        value, shape = values[spec.name], shapes[spec.name]
        if value.shape == shape:
            made[spec.name] = value
        elif spec.name in given and value.size:
            made[spec.name] = _repeated(value, shape)
        else:
            made[spec.name], _ = _value(spec, shape, rng)
    return made


def _check_memory(specs: Sequence[TensorSpec], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """See that values of these shapes can be made. Raises InputError naming the largest where they cannot."""
    needed = {
        spec.name: element_count(shapes[spec.name]) * (_DRAWN_BYTES + dtype_of_name(spec.dtype).bits // 8)
        for spec in specs
        if spec.name in shapes
    }
    total, free = sum(needed.values()), available_bytes()
    if total > free:
        name = max(needed, key=lambda name: needed[name])
        raise InputError(
            f"input {name!r} of {format_shape(shapes[name])} takes {needed[name] >> 20} MiB to be made, and "
            f"{free >> 20} MiB of memory are free; give a smaller size with --input {name}=SHAPE"
        )


def _repeated(value: Array, shape: tuple[int, ...]) -> Array:
    for axis, size in enumerate(shape):
        value = np.take(value, np.arange(size) % value.shape[axis], axis=axis)
    return value


def _check_dtype(spec: TensorSpec, wanted: str | None, value: Array | None) -> None:
    if wanted is not None and wanted != spec.dtype:
        raise InputError(f"input {spec.name!r} is {spec.dtype}, not {wanted}")
    if value is None:
        return
    found = "string" if value.dtype.kind in "US" else value.dtype.name
    if found != _BITS_AS.get(spec.dtype, spec.dtype):
        raise InputError(f"input {spec.name!r} is {spec.dtype}, the given array is {found}; convert it")


def _value(spec: TensorSpec, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Array, str]:
    """A value and the name of its recipe."""
    dtype = spec.dtype
    if dtype == "string":
        return np.full(shape, "a"), "strings"
    if dtype == "bool" or ("mask" in spec.name.lower() and dtype in _FLOATS | _INTEGERS):
        return np.ones(shape, dtype), "ones"
    if dtype in _FLOATS:
        return rng.standard_normal(shape).astype(dtype), "normal"
    if dtype in _INTEGERS:
        return rng.integers(0, 2, shape).astype(dtype), "integers"
    if dtype in _COMPLEX:
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype), "normal"
    if dtype == "bfloat16":
        # bfloat16 is the upper half of float32.
        bits = rng.standard_normal(shape).astype(np.float32).view(np.uint32)
        return (bits >> 16).astype(np.uint16), "normal"
    # Raises KeyError for a type that this table has never heard of: our own bug.
    raise InputError(f"input {spec.name!r}: cannot make {dtype_of_name(dtype).name} values; give --inputs FILE.npz")
