"""The verbs as a user types them, with images that exist already."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mopar.bundle import Bundle
from tests.cli.harness import environment, mopar
from tests.models import sample_inputs
from tests.platforms.openfaas.deployed import MODEL, NAME, World, tell
from tests.platforms.openfaas.fake import PASSWORD
from tests.platforms.openfaas.images import Image

PATIENCE_S = 30.0


@pytest.fixture
def options(world: World, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Of the platform; the password is in the environment."""
    images = world.images.build(bundle, NAME, "r", tell)
    (tmp_path / "images.json").write_text(json.dumps(dict(images)))
    monkeypatch.setenv("OPENFAAS_PASSWORD", PASSWORD)
    return ["--platform", "openfaas", "--gateway", world.fake.url, f"--images={tmp_path / 'images.json'}"]


def test_from_a_bundle_to_an_answer(world: World, bundle: Bundle, options: list[str], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    made = mopar("deploy", bundle.root, "--name", NAME, *options, cache=cache)
    assert made.code == 0, made.stderr
    assert "skip on openfaas: ready at http://127.0.0.1:" in made.stdout
    np.savez(tmp_path / "in.npz", allow_pickle=False, **sample_inputs(MODEL))
    status = mopar("status", NAME, *options, "--json", cache=cache).document
    url = status["gateway"]["url"]
    asked = mopar("infer", url, "--inputs", tmp_path / "in.npz", "-o", tmp_path / "out.npz", cache=cache)
    assert asked.code == 0, asked.stderr
    packaged = mopar("package", bundle.root, "--name", NAME, "-o", tmp_path / "package", *options, cache=cache)
    assert packaged.code == 0, packaged.stderr
    assert "skip_build: true" in (tmp_path / "package" / "stack.yaml").read_text()
    removed = mopar("remove", NAME, *options, "--json", cache=cache)
    assert (removed.code, removed.document["left"]) == (0, [])
    assert world.leftovers(NAME) == []
    gone = mopar("status", NAME, *options, "--json", cache=cache)
    assert (gone.code, gone.document["error"]["kind"]) == (2, "usage")
    assert PASSWORD not in "".join(done.stdout + done.stderr for done in (made, asked, packaged, removed, gone))


def test_an_interrupt_leaves_nothing(world: World, bundle: Bundle, options: list[str], tmp_path: Path) -> None:
    """While it waits for a function that will never answer."""
    images = json.loads((tmp_path / "images.json").read_text())
    world.images.add(images["f1"], Image(code="import time; time.sleep(1000)"))
    command = [sys.executable, "-m", "mopar", "deploy", str(bundle.root), "--name", NAME, *options]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, env={**os.environ, **environment(tmp_path / "cache")}, text=True
    )
    deadline = time.monotonic() + PATIENCE_S
    while "skip-f2" not in world.fake.specs:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, said
    assert world.leftovers(NAME) == []
