"""``mopar zoo``: listing is fast and needs no dependencies, and an export leaves complete files or none."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mopar.profiling import load_inputs
from tests.cli.harness import Pipeline, complaints, environment, mopar, snapshot
from tests.cli.test_disk import cramped
from tests.cli.test_help import ASKED
from tests.test_imports import HEAVY


def test_the_list_keeps_its_contract_and_loads_no_torch(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASKED, "zoo", "list", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(tmp_path),
        check=True,
    )
    code, loaded = json.loads(done.stderr)
    assert not code
    assert set(loaded) & (HEAVY - {"numpy", "rich", "typer"}) == set()
    models = json.loads(done.stdout)
    assert all({"name", "category", "parameters", "bytes", "source"} <= model.keys() for model in models)
    assert len({model["name"] for model in models}) == len(models)
    assert sum(model["in_mean"] for model in models) == 12
    text = mopar("zoo", "list", cache=tmp_path).stdout
    assert all(f"  {model['name']} " in text and model["source"] in text for model in models)


@pytest.mark.models
def test_an_exported_model_can_be_profiled(tmp_path: Path, new_cache: Callable[[Path], Path]) -> None:
    model, cache = tmp_path / "m.onnx", new_cache(tmp_path / "cache")
    done = mopar("zoo", "export", "silero-vad", "-o", model, "--json", cache=cache)
    assert done.code == 0, done.stderr
    document = done.document
    assert document["model"] == str(model)
    assert set(load_inputs(Path(document["inputs"]))) == {"input", "h", "c"}
    profiled = mopar("profile", model, "--inputs", document["inputs"], "-o", tmp_path / "p.json", cache=cache)
    assert profiled.code == 0, profiled.stderr


@pytest.mark.models
@pytest.mark.parametrize(("name", "limit"), [("silero-vad", 1 << 16), ("gcn", 1 << 16), ("gcn", 1 << 20)])
def test_no_room_is_one_line_and_changes_nothing(name: str, limit: int, made: Pipeline, tmp_path: Path) -> None:
    """No space for the copied file, for torch's output, or for the inputs."""
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    for file in ("m.onnx", "m.inputs.npz"):
        (tmp_path / file).write_text("from before")
    before = snapshot(tmp_path)
    done = cramped(limit, ["zoo", "export", name, "-o", tmp_path / "m.onnx"], made, scratch)
    lines = complaints(done.stderr)
    assert (done.code, done.stdout) == (1, "")
    assert lines == [f"error: {tmp_path / 'm.onnx'}: {os.strerror(27)}: make room"]
    assert snapshot(tmp_path) == before
