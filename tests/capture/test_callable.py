"""``mopar import MODULE:CALLABLE``: user code runs, and its errors are reported in one line."""

import sys
from pathlib import Path

import onnx
import pytest
import torch

from mopar.capture import import_callable, load_callable, read_source
from mopar.types import UsageError

pytestmark = pytest.mark.models

CODE = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(10, 4)
        self.last = torch.nn.Linear(4, 2)

    def forward(self, ids, mask):
        return self.last(self.table(ids)) * mask.unsqueeze(-1)

class Strange(Exception):
    pass

ready = Net()
number = 3

def fails():
    raise Strange("no weights here\\nand more lines")

def returns_number():
    return 3
"""
PROGRAM = """
import torch, theirs
program = torch.export.export(theirs.Net(), (torch.ones(2, 3, dtype=torch.int64), torch.ones(2, 3)))
"""
INPUTS = ["ids=batch@2xseq@5:int64", "mask=batch@2xseq@5"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a user's modules."""
    (tmp_path / "theirs.py").write_text(CODE)
    (tmp_path / "exported.py").write_text(PROGRAM)
    (tmp_path / "broken.py").write_text("import no_such_dependency\n")
    (tmp_path / "syntax.py").write_text("def :\n")
    monkeypatch.chdir(tmp_path)
    for name in ("theirs", "exported", "broken", "syntax"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("spec", "inputs"),
    [("theirs:Net", INPUTS), ("theirs:ready", ["ids=2x3:int64", "mask=2x3"]), ("exported:program", [])],
)
def test_a_class_a_module_and_a_program_are_captured(spec: str, inputs: list[str], folder: Path) -> None:
    paths = list(sys.path)
    output = import_callable(spec, inputs, folder / "out" / "net.onnx")
    assert [item.name for item in onnx.load(output).graph.input] == ["ids", "mask"]
    source = read_source(output)
    assert source is not None
    assert (source.spec, source.inputs, source.torch) == (spec, tuple(inputs), torch.__version__)
    assert sorted(file.name for file in output.parent.iterdir()) == ["net.onnx", "net.onnx.source.json"]
    assert sys.path == paths


def test_the_seed_decides_the_weights() -> None:
    torch.manual_seed(99)
    state = torch.get_rng_state()
    first, again, other = (load_callable("theirs:Net", seed=seed).state_dict()["last.weight"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("spec", "inputs", "message"),
    [
        ("theirs", INPUTS, "write MODULE:CALLABLE"),
        ("nowhere:Net", INPUTS, "there is no module 'nowhere'"),
        ("theirs:Nothing", INPUTS, "has no attribute 'Nothing'"),
        ("theirs:number", INPUTS, "is a int"),
        ("theirs:returns_number", INPUTS, "returned a int"),
        ("theirs:fails", INPUTS, "failed: Strange: no weights here$"),
        ("broken:Net", INPUTS, "importing broken failed: ModuleNotFoundError: No module named 'no_such_dependency'"),
        ("syntax:Net", INPUTS, "importing syntax failed: SyntaxError"),
        ("theirs:Net", [], "--input"),
        ("theirs:Net", ["x=2x5"], "forward takes ids, mask, --input names x: use"),
        ("theirs:Net", ["ids=2xfive:int64"], "is no shape"),
        ("theirs:Net", ["ids=b@1x5:int64", "mask=b@1x5"], "use 2 or more"),
        ("theirs:Net", ["ids=b@2x5:int64", "mask=b@3x5"], "b is both 2 and 3"),
        ("theirs:Net", ["ids=2x5:int64", "ids=2x5"], "given twice"),
        ("theirs:Net", ["ids=2x5:string", "mask=2x5"], "no element type string"),
        ("exported:program", INPUTS, "fixed"),
    ],
)
def test_wrong_use_is_one_line(spec: str, inputs: list[str], message: str, folder: Path) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        import_callable(spec, inputs, folder / "out.onnx")
    assert "\n" not in str(raised.value)
    assert raised.value.__cause__ is None or str(raised.value) != str(raised.value.__cause__)
    assert not list(folder.glob("out.onnx*"))
