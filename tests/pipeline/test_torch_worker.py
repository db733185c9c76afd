"""A torch module as a function: the same frames and shared memory as any other function."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mopar.bundle import Bundle
from mopar.gateway.arrays import Array
from mopar.measurement.recording import record
from mopar.measurement.single import chain_bundle
from mopar.types import EngineError, EngineOptions, MoparError, RequestError, TensorSpec

pytestmark = pytest.mark.models

MODULE = """
import torch

class Net(torch.nn.Module):
    def forward(self, x, ids):
        return {"turned": (x * 2).T, "odd": ids[ids % 2 == 1], "any": ids.bool().any()}
"""
INPUTS = (TensorSpec("x", "float16", ("n", 3)), TensorSpec("ids", "int64", ("m",)))
OUTPUTS = (
    TensorSpec("turned", "float16", (3, "n")),
    TensorSpec("odd", "int64", ("found",)),
    TensorSpec("any", "bool", ()),
)


def bundle(folder: Path, spec: str) -> Bundle:
    file = folder / "callable.txt"
    file.write_text(spec)
    made = chain_bundle("net", ((file,),), (INPUTS, OUTPUTS), EngineOptions())
    return replace(made, worker="mopar.pipeline.bench.torch_worker")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(MODULE)
    return tmp_path


def test_answers_in_place_and_of_unknown_size(folder: Path) -> None:
    """A transposed output is not contiguous; the number of odd ids is known only after the run."""
    x, ids = np.arange(6, dtype=np.float16).reshape(2, 3), np.array([4, 7, 1, 0])
    got = record(bundle(folder, "nets:Net"), {"x": x, "ids": ids}).outputs
    np.testing.assert_array_equal(got["turned"], (x * 2).T)
    np.testing.assert_array_equal(got["odd"], [7, 1])
    assert got["any"] is not None
    assert got["any"].item() is True
    nothing = record(bundle(folder, "nets:Net"), {"x": x[:0], "ids": ids[:0]}).outputs
    assert nothing["turned"].shape == (3, 0)
    assert nothing["odd"].shape == (0,)


@pytest.mark.parametrize(
    ("spec", "message", "error"),
    [("nets:Absent", "no attribute 'Absent'", EngineError), ("torch.nn:Identity", "positional argument", RequestError)],
)
def test_what_is_no_such_module_fails_in_one_line(
    folder: Path, spec: str, message: str, error: type[MoparError]
) -> None:
    inputs: dict[str, Array] = {"x": np.zeros((1, 3), np.float16), "ids": np.zeros(1, np.int64)}
    with pytest.raises(error, match=message) as caught:
        record(bundle(folder, spec), inputs)
    assert "\n" not in str(caught.value)
