"""A captured model computes the module's outputs, or capture fails with one line that says why."""

import logging
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

import mopar
from mopar.capture import capture
from mopar.types import ModelError, UsageError

pytestmark = pytest.mark.models


class Net(torch.nn.Module):
    """Dropout and batch norm compute differently in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(8, 16)
        self.norm = torch.nn.BatchNorm1d(16)
        self.drop = torch.nn.Dropout(0.9)
        self.last = torch.nn.Linear(16, 4)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.drop(self.norm(self.first(x)).relu())
        return self.last(hidden) * y, hidden.argmax(1)


class FixedInside(torch.nn.Module):
    """torch.export fixes an LSTM's number of steps, but leaves the input's dimension symbolic."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(4, 4, batch_first=True)
        self.head = torch.nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(self.lstm(x)[0])
        return scores


class Random(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.rand_like(x)


class Branching(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1 if bool(x.sum() > 0) else x


def example(batch: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {"x": torch.randn(batch, 8, generator=generator), "y": torch.randn(batch, 4, generator=generator)}


def run(path: Path, inputs: dict[str, torch.Tensor]) -> list[np.ndarray]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    result: list[np.ndarray] = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    return result


def test_symbolic_batch_answers_at_every_size(tmp_path: Path) -> None:
    net = Net()
    path = capture(net, example(), tmp_path / "net.onnx", dynamic_shapes={"x": {0: "batch"}, "y": {0: "batch"}})
    net.eval()
    for batch in (1, 7):
        inputs = example(batch)
        for got, want in zip(run(path, inputs), net(**inputs), strict=True):
            np.testing.assert_allclose(got, want.detach().numpy(), rtol=1e-5, atol=1e-6)
    first = onnx.load(path).graph.input[0].type.tensor_type.shape.dim[0]
    assert first.dim_param == "batch"


def test_a_program_brings_its_own_example(tmp_path: Path) -> None:
    net = Net().eval()
    program = torch.export.export(net, (), example())
    path = capture(program, None, tmp_path / "net.onnx", output_names=["scores", "label"])
    np.testing.assert_allclose(run(path, example())[0], net(**example())[0].detach().numpy(), rtol=1e-5, atol=1e-6)
    assert [item.name for item in onnx.load(path).graph.output] == ["scores", "label"]


def test_nothing_is_left_behind(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Modes, weights, random state, gradients, warnings, loggers, terminal and working directory are restored."""
    net = Net()
    net.train()
    net.drop.eval()

    def state() -> object:
        flags = [part.training for part in net.modules()]
        weights = [value.clone().tolist() for value in net.state_dict().values()]
        levels = [(logging.getLogger(name).level, logging.getLogger(name).disabled) for name in ("torch", "onnxscript")]
        return flags, weights, levels, torch.get_rng_state().tolist(), torch.is_grad_enabled(), list(warnings.filters)

    before = state()
    capture(net, example(), tmp_path / "net.onnx")
    assert state() == before
    assert capfd.readouterr() == ("", "")
    assert [file.name for file in tmp_path.iterdir()] == ["net.onnx"]


@pytest.mark.parametrize(
    ("net", "inputs", "dynamic", "message"),
    [
        (Random(), {"x": torch.ones(2, 3)}, None, "random numbers"),
        (Branching(), {"x": torch.ones(2, 3)}, None, "cannot be captured"),
        (Net(), {"x": torch.ones(2, 8)}, None, "missing a required argument: 'y'"),
        (FixedInside(), {"x": torch.ones(1, 6, 4)}, {"x": {1: "seq"}}, "seq"),
    ],
    ids=["random", "branching", "argument", "fixed-inside"],
)
def test_what_cannot_be_captured_is_refused(
    net: torch.nn.Module, inputs: dict[str, torch.Tensor], dynamic: object, message: str, tmp_path: Path
) -> None:
    """No file is written then, and an existing file stays unchanged."""
    path = tmp_path / "net.onnx"
    path.write_text("old")
    with pytest.raises(ModelError, match=message) as raised:
        capture(net, inputs, path, dynamic_shapes=dynamic)
    assert "\n" not in str(raised.value)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_large_weights_stand_beside_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mopar.capture._export._EXTERNAL_BYTES", 100)
    path = capture(torch.nn.Linear(64, 64), (torch.ones(1, 64),), tmp_path / "big.onnx")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["big.onnx", "big.onnx.data"]
    assert path.stat().st_size < 4096


def test_without_torch_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UsageError, match=r'pip install "mopar\[torch\]"'):
        capture(torch.nn.Linear(1, 1), (), tmp_path / "x.onnx")


@pytest.mark.parametrize(("thing", "inputs"), [(3, ()), (torch.nn.Linear(2, 2), None)])
def test_wrong_use_is_named(thing: torch.nn.Module, inputs: tuple[()] | None, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        capture(thing, inputs, tmp_path / "x.onnx")


def test_load_takes_a_module_or_a_file(tmp_path: Path) -> None:
    temporary = mopar.load(Net(), example())
    assert [item.name for item in temporary.inputs] == ["x", "y"]
    kept = mopar.load(shutil.copy(temporary.path, tmp_path / "net.onnx"))
    assert kept.graph_sha256 == temporary.graph_sha256
    with pytest.raises(UsageError, match="takes no example inputs"):
        mopar.load(tmp_path / "net.onnx", example())
