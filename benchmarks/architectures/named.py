"""A model by its name: of the zoo, or an architecture in full size."""

from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.architectures import FULL, materialise
from mopar.profiling.inputs import Array
from mopar.types import UsageError
from tests import models as zoo


def named(name: str) -> tuple[Path, Callable[[int], Mapping[str, Array]]]:
    """Its ONNX file, and what makes its inputs from a seed.

    Raises:
        UsageError: there is no such model.
        MoparError, RuntimeError: it cannot be exported.
    """
    if name in zoo.MODELS:
        return zoo.materialise(name), lambda seed: zoo.sample_inputs(name, seed)
    if name not in FULL:
        raise UsageError(f"{name} is neither of the zoo nor an architecture in full size")
    return materialise(FULL[name]), FULL[name].request
