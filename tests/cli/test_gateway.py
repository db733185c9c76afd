"""The process that ``mopar serve`` becomes: what it holds, and that nothing is lost on the way."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mopar.gateway.client import Client
from mopar.gateway.token import Token, read_token
from mopar.limits import resident_memory
from mopar.types import RequestError
from tests.bundle.plans import built
from tests.cli.harness import Pipeline, environment, served
from tests.models.builder import Builder

MOST_MIB = 32
"""It takes 25 to 28 here; Pythons of other builders differ by a few."""
REQUESTS, FLOATS = 200, 150_000


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A bundle of two functions that takes 600 KB."""
    g = Builder("large")
    x = g.input("x", [FLOATS])
    g.add("Neg", g.add("Relu", x), output="y")
    g.output("y", [FLOATS])
    g.save(tmp_path / "large.onnx")
    return built(tmp_path / "large.onnx", tmp_path / "bundle", pieces=2).root


def test_a_gateway_holds_little(large: Path, tmp_path: Path) -> None:
    x = np.linspace(-1, 1, FLOATS, dtype=np.float32)
    with served(large, tmp_path / "cache") as (process, url), Client(url) as client:
        for _ in range(REQUESTS):
            answer = client.infer({"x": x})
        assert np.array_equal(answer["y"], -np.maximum(x, 0))
        held = resident_memory(process.pid)
        assert (held.anon + held.file + held.shmem) / (1 << 20) <= MOST_MIB
        libraries = Path(f"/proc/{process.pid}/maps").read_text()
        for unwanted in ("numpy", "onnx", "libcrypto", "libssl", "pydantic", "liblzma"):
            assert unwanted not in libraries


def test_a_token_is_compared_without_openssl_too(made: Pipeline, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text("a-secret\n")
    values = dict(np.load(made.inputs))
    with served(made.bundle, made.cache, "--token-file", str(token)) as (_, url):
        with Client(url, token=read_token(token)) as client:
            assert set(client.infer(values)) == {spec["name"] for spec in client.metadata()["outputs"]}
        with (
            Client(url, token=Token("another")) as client,
            pytest.raises(RequestError, match="bearer token"),
        ):
            client.infer(values)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_is_replaced_ends_it_with_its_exit_code(
    made: Pipeline, tmp_path: Path, number: signal.Signals
) -> None:
    """It arrives while the new interpreter starts, before any of our code could handle it."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os\nif 'SIGNAL' in os.environ: os.kill(os.getpid(), int(os.environ['SIGNAL']))"
    )
    code = (
        "import os; from mopar.cli import main; replace = os.execv;"
        f"os.execv = lambda *a: (os.environ.update(SIGNAL='{int(number)}'), replace(*a)); main()"
    )
    command = [sys.executable, "-c", code, "serve", str(made.bundle), "--port", "0"]
    places = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    variables = {**environment(made.cache), "PYTHONPATH": places}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=variables, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, "", "")


def test_a_bundle_is_found_from_another_folder(made: Pipeline, tmp_path: Path) -> None:
    """Nor do files there stand in for modules."""
    for name in ("asyncio", "msgspec", "struct"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the folder of the user')")
    (tmp_path / "here").symlink_to(made.bundle)
    mopar = Path(sys.executable).with_name("mopar")
    command = [str(mopar), "serve", "here", "--port", "0", "--with-parent"]
    done = subprocess.run(
        command,
        input="",
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env=environment(made.cache),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "2 functions ready at" in done.stdout
