"""Outputs are named after the keys of the module's result."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import onnxruntime as ort
import pytest
import torch
from transformers import BertConfig, BertModel

import mopar
from mopar.capture import capture

pytestmark = pytest.mark.models


class Pair(NamedTuple):
    left: torch.Tensor
    right: dict[str, torch.Tensor]


@dataclass
class Scores:
    """A result type that torch does not know."""

    logits: torch.Tensor
    loss: torch.Tensor | None = None


class Returns(torch.nn.Module):
    """Returns the result of a function of its input."""

    def __init__(self, make: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.make = make
        self.add = torch.nn.Parameter(torch.ones(3))

    def forward(self, x: torch.Tensor) -> Any:
        return self.make(x + self.add)


CASES: dict[str, tuple[Callable[[torch.Tensor], Any], list[str]]] = {
    "tensor": (lambda h: h * 2, ["output"]),
    "tuple-of-one": (lambda h: (h * 2,), ["output"]),
    "tuple": (lambda h: (h * 2, [h * 3, h * 4]), ["output_0", "output_1.0", "output_1.1"]),
    "dict": (lambda h: {"logits": h * 2, "mul": h * 3, "add": h * 4}, ["logits", "mul", "add"]),
    "nested": (
        lambda h: {"detections": {"boxes": h * 2, "scores": (h * 3, h * 4)}},
        ["detections.boxes", "detections.scores.0", "detections.scores.1"],
    ),
    "swapped": (lambda h: {"mul_1": h * 2, "mul": h * 3}, ["mul_1", "mul"]),
    "none": (lambda h: {"logits": h * 2, "loss": None, "hidden": h * 3}, ["logits", "hidden"]),
    "one-tensor-twice": (lambda h: {"a": h, "b": h}, ["a", "b"]),
    "named-tuple": (lambda h: Pair(h * 2, {"x y/z": h * 3}), ["left", "right.x_y_z"]),
    "clash": (lambda h: {"a b": h * 2, "a/b": h * 3, "x": h * 4}, ["a_b", "a_b_1", "x_1"]),
    "dataclass": (lambda h: {"all": [Scores(h * 2), h * 3]}, ["all.0.logits", "all.1"]),
}


@pytest.mark.parametrize("case", CASES)
def test_outputs_bear_the_keys_and_the_values(case: str, tmp_path: Path) -> None:
    make, names = CASES[case]
    path = capture(Returns(make), {"x": torch.ones(2, 3)}, tmp_path / "net.onnx", dynamic_shapes={"x": {0: "n"}})
    onnx.checker.check_model(str(path), full_check=True)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [item.name for item in session.get_inputs()] == ["x"]
    assert [item.name for item in session.get_outputs()] == names


def test_an_input_that_is_returned_keeps_its_name(tmp_path: Path) -> None:
    class Echo(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"x": x, "more": x + 1}

    model = mopar.load(Echo(), {"x": torch.ones(2, 3)}, path=tmp_path / "echo.onnx")
    assert [spec.name for spec in model.inputs] == ["x"]
    assert [spec.name for spec in model.outputs] == ["x_1", "more"]


def test_given_names_are_taken(tmp_path: Path) -> None:
    net = Returns(lambda h: {"logits": h * 2})
    path = capture(net, {"x": torch.ones(2, 3)}, tmp_path / "net.onnx", output_names=["scores"])
    assert [item.name for item in onnx.load(path).graph.output] == ["scores"]


def test_a_model_output_of_transformers(tmp_path: Path) -> None:
    net: Any = BertModel(
        BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    )
    path = capture(net, {"input_ids": torch.ones(2, 5, dtype=torch.int64)}, tmp_path / "bert.onnx")
    assert [item.name for item in onnx.load(path).graph.output] == ["last_hidden_state", "pooler_output"]
