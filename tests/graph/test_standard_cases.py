"""ONNX's own test cases for its operators: read or refused, and cut anywhere with equal outputs."""

import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from mopar.engine.session import ENGINE_ERRORS
from mopar.graph import load_model
from mopar.types import ModelError
from tests.graph.composed import Array, composed_equals_whole, run_file

pytestmark = pytest.mark.slow

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
FEWEST_EQUAL = 1500
"""Least number of equal cases of some 2,000; the engine refuses others, or they have sequences or random outputs."""
REFUSALS: tuple[type[Exception], ...] = (*ENGINE_ERRORS, ValueError, TypeError)
HIDDEN = {"test_affine_grid_2d_expanded", "test_affine_grid_2d_align_corners_expanded"}
"""In these a Range has a tensor of one element in place of a scalar.

The engine accepts that only while an If hides the tensor's shape, and refuses the slice that begins there.
"""


def cases(kind: str) -> list[Any]:
    """The cases of a kind, as the package describes them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they divide by zero on purpose
        from onnx.backend.test import loader

        found: list[Any] = loader.load_model_tests(kind=kind)
        return found


def files(kind: str, folder: Path) -> Iterator[tuple[str, Path, list[Any]]]:
    """Name, model file and input values of each case."""
    for case in cases(kind):
        if case.model_dir is not None and (home := Path(case.model_dir)).is_dir():
            values = sorted((home / "test_data_set_0").glob("input_*.pb"))
            yield case.name, home / "model.onnx", [_tensor(path) for path in values]
            continue
        path = folder / "case.onnx"
        path.write_bytes(case.model.SerializeToString())
        yield case.name, path, list(case.data_sets[0][0])


def _tensor(path: Path) -> Array | None:
    """A stored tensor; None where the file holds something else."""
    tensor = onnx.TensorProto()
    try:
        tensor.ParseFromString(path.read_bytes())
        array: Array = numpy_helper.to_array(tensor)
    except (ValueError, TypeError):
        return None
    return array


def feeds_of(path: Path, values: list[Any]) -> dict[str, Array] | None:
    """The inputs by name; None where some are not tensors."""
    graph = onnx.load(path).graph
    weights = {weight.name for weight in graph.initializer}
    names = [value.name for value in graph.input if value.name not in weights]
    if len(names) != len(values) or not all(isinstance(value, np.ndarray | np.generic) for value in values):
        return None
    return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}


def is_readable(path: Path) -> bool:
    """Whether the model is accepted; any error but a ModelError fails the test."""
    try:
        load_model(path)
    except ModelError:
        return False
    return True


def outcome(path: Path, values: list[Any]) -> str:
    """Outcome of a case; fails where its composed parts compute other outputs than the whole."""
    if not is_readable(path):
        return "refused"
    feeds = feeds_of(path, values)
    if feeds is None:
        return "not of tensors"
    try:
        once, again = run_file(path, feeds), run_file(path, feeds)
    except REFUSALS:
        return "not run by the engine"
    if any(not np.array_equal(once[name], again[name], equal_nan=once[name].dtype.kind in "fc") for name in once):
        return "random"
    composed_equals_whole(path, feeds)
    return "equal"


@pytest.mark.filterwarnings("ignore")
def test_every_case_is_refused_or_equal(tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    wrong = []
    for kind in KINDS:
        for name, path, values in files(kind, tmp_path):
            if name in HIDDEN:
                continue
            try:
                counts[outcome(path, values)] += 1
            except Exception as error:  # noqa: BLE001 - each is reported with its case's name
                wrong.append(f"{name}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
    assert wrong == []
    assert counts["equal"] >= FEWEST_EQUAL, counts
