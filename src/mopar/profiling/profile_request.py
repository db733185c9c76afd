"""The request that a model is profiled with, and the sizes around it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from mopar.graph import Model
from mopar.profiling.input_sizes import InputSizes, Shapes, stated_sizes
from mopar.profiling.inputs import Array, resized_inputs, sample_inputs
from mopar.shapes import ShapeLike, parse_shapes
from mopar.types import InputRecipe


@dataclass(frozen=True, slots=True)
class ProfileRequest:
    """A value for each input of a model.

    Attributes:
        values: at the measured point.
        recipes: how they were made.
        sizes: the point, and the range that must be answered.
        given_sha256: of the values that a caller gave.
    """

    values: Mapping[str, Array]
    recipes: tuple[InputRecipe, ...]
    sizes: InputSizes
    given_sha256: str

    def resized(self, model: Model, shapes: Shapes) -> dict[str, Array]:
        """Values of other shapes. Raises InputError where there is no memory for them."""
        return resized_inputs(model.inputs, self.values, self.recipes, shapes)


def profile_request(
    model: Model,
    *,
    inputs: Mapping[str, Array] | None = None,
    shapes: Mapping[str, ShapeLike] | None = None,
    dtypes: Mapping[str, str] | None = None,
    seed: int = 0,
) -> ProfileRequest:
    """The request to profile a model with.

    Args:
        model: in canonical form.
        inputs: values of some or all inputs; the others are made.
        shapes: the point to measure, or the range that must be answered, as ``mopar.shapes.parse_shape`` takes them;
            of inputs with values the range alone counts.
        dtypes: what the caller expects of the inputs; checked.
        seed: of the inputs that are made.

    Raises:
        InputError: the inputs do not fit.
    """
    sizes = stated_sizes(model.inputs, parse_shapes(shapes), inputs or {})
    values, recipes = sample_inputs(model.inputs, shapes=sizes.point, dtypes=dtypes, seed=seed, given=inputs)
    return ProfileRequest(values, recipes, sizes, _sha256(inputs or {}))


def _sha256(values: Mapping[str, Array]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(values.items()):
        digest.update(f"{name} {value.dtype} {value.shape} ".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()
