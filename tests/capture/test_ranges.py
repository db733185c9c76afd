"""A range of sizes in an import: every size in it works, or the import reports in one line which does not."""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from mopar.capture import import_callable, import_inputs, stated_shapes
from mopar.graph import load_model
from mopar.types import ModelError, UsageError
from mopar.types.ranges import StatedShape

pytestmark = pytest.mark.models

CODE = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(10, 4)
        self.last = torch.nn.Linear(4, 2)

    def forward(self, ids, mask):
        return {"logits": self.last(self.table(ids)) * mask.unsqueeze(-1)}

class Short(torch.nn.Module):
    def forward(self, x):
        return x * 2 if x.shape[1] <= 100 else x + 1

class Positions(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(20, 3)

    def forward(self, x):
        return x + self.table(torch.arange(x.shape[1]))

class Fours(torch.nn.Module):
    def forward(self, x):
        return x.reshape(x.shape[0], -1, 4)

class Steps(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(3, 3, batch_first=True)

    def forward(self, x):
        return self.lstm(x)[0]

class Attention(torch.nn.Module):
    def forward(self, q):
        return torch.nn.functional.scaled_dot_product_attention(q, q, q)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a module."""
    (tmp_path / "ranged.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "ranged", raising=False)
    return tmp_path


def shapes(path: Path) -> dict[str, list[int | str]]:
    return {
        item.name: [dim.dim_param or dim.dim_value for dim in item.type.tensor_type.shape.dim]
        for item in onnx.load(path).graph.input
    }


def test_every_size_of_a_range_is_answered_also_one(folder: Path) -> None:
    inputs = ["ids=batch@1..1..3xseq@1..12:int64", "mask=batch@1xseq@2"]
    path = import_callable("ranged:Net", inputs, folder / "net.onnx")
    assert shapes(path) == {"ids": ["batch", "seq"], "mask": ["batch", "seq"]}
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for batch, seq in ((1, 1), (1, 12), (3, 12), (2, 5)):
        feed = {"ids": np.ones((batch, seq), np.int64), "mask": np.ones((batch, seq), np.float32)}
        assert session.run(None, feed)[0].shape == (batch, seq, 2)


def test_a_range_without_a_symbol_gets_a_name_of_its_own(folder: Path) -> None:
    path = import_callable("ranged:Positions", ["x=1..4x2..20x3"], folder / "net.onnx")
    assert shapes(path) == {"x": ["x_0", "x_1", 3]}
    taken = import_inputs(["a=b_0@2x3", "b=1..4x3"])
    assert [item.symbols for item in taken.arguments] == [("b_0", None), ("b_0_", None)]


@pytest.mark.parametrize(
    ("spec", "text", "message"),
    [
        ("Short", "x=1x1..64..512x3", r"'x_1': the range 1\.\.512 .* outside sizes from 0 to 100"),
        ("Positions", "x=1x1..8..21x3", r"the module refuses x_1@21, which the range holds: IndexError"),
        ("Positions", "x=1x30x3", r"the module fails on the example: IndexError"),
        ("Fours", "x=1x2..8..16", r"the module refuses x_1@2, which the range holds: RuntimeError"),
        ("Steps", "x=1x1..6..9x3", r"answers at the example's sizes only, not at x_1@1: torch fixed them"),
    ],
)
def test_what_a_module_does_not_take_is_one_line(spec: str, text: str, message: str, folder: Path) -> None:
    with pytest.raises(ModelError, match=message) as raised:
        import_callable(f"ranged:{spec}", [text], folder / "net.onnx")
    assert "\n" not in str(raised.value)
    assert not list(folder.glob("net.onnx*"))


def test_the_largest_size_is_computed_only_where_it_fits(folder: Path) -> None:
    """The attention scores alone would take 320 GB."""
    path = import_callable("ranged:Attention", ["q=2x1..2x1..8..200000x4"], folder / "net.onnx")
    assert shapes(path) == {"q": [2, "q_1", "q_2", 4]}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["x=1x0..1"], r"the range 0\.\.1 of x_1 holds no size of 2"),
        (["x=n@1..4", "y=n@1..5"], r"n is both 1\.\.2\.\.4 and 1\.\.3\.\.5"),
        (["x=n@1..4", "y=n@5"], r"n is both 1\.\.2\.\.4 and 5"),
        (["x=n@1"], "use 2 or more, or a range"),
    ],
)
def test_ranges_that_do_not_agree(texts: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        import_inputs(texts)


def test_what_was_stated_stands_for_what_is_not(folder: Path) -> None:
    """A given shape also fixes its symbols in other inputs; a single value is a point of the range."""
    inputs = ["ids=1xseq@1..12:int64", "mask=1xseq@2"]
    model = load_model(import_callable("ranged:Net", inputs, folder / "net.onnx"))
    remembered = StatedShape((1, 6), (None, (1, 12)))
    assert stated_shapes(model) == {"ids": remembered, "mask": remembered}
    given = StatedShape((1, 5), (None, (2, 7)))
    assert stated_shapes(model, {"mask": given}) == {"ids": given, "mask": given}
    point = StatedShape.of((1, 64))
    assert stated_shapes(model, {"ids": point}) == {"ids": point, "mask": point}
    valued = StatedShape((1, 9), (None, (1, 12)))
    assert stated_shapes(model, {}, {"ids": (1, 9)}) == {"ids": valued, "mask": valued}
    beyond = StatedShape((1, 99), (None, None))
    assert stated_shapes(model, {}, {"ids": (1, 99)}) == {"ids": beyond, "mask": beyond}


def test_what_was_stated_of_another_file_does_not_count(folder: Path) -> None:
    path = import_callable("ranged:Net", ["ids=1xseq@1..12:int64", "mask=1xseq@2"], folder / "net.onnx")
    other = import_callable("ranged:Net", ["ids=3xseq@2:int64", "mask=3xseq@2"], folder / "other.onnx")
    other.replace(path)
    assert stated_shapes(load_model(path)) == {}
