"""Any wrong input gives one line that names it, the right exit code, and no leftovers."""

import functools
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from mopar.cli.app import run_app
from tests.cli import bad_files as bad
from tests.cli.bad_cases import CASES, Case
from tests.cli.harness import Done, Pipeline, Place, complaints, mopar, served, snapshot

Run = Callable[[Sequence[str | Path]], Done]
Check = Callable[[Case, Place, Run], None]


@pytest.fixture
def run(place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process; its output and the engine's are captured at the file descriptors.

    A gateway would replace this process: it becomes a child instead.
    """
    scratch = place.room / "tmp"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setenv("XDG_CACHE_HOME", str(place.work / "cache"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(os, "execv", lambda _, arguments: sys.exit(subprocess.call(arguments, close_fds=False)))

    def run(arguments: Sequence[str | Path]) -> Done:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            run_app([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        code = ended.value.code
        assert isinstance(code, int), f"the command ended with {code}"
        return Done(code, out, err)

    return run


def check_text(case: Case, place: Place, run: Run) -> None:
    arguments = case.arguments(place)
    before = snapshot(place.room)
    done = run(arguments)
    assert (done.code, done.stdout) == (case.code, "")
    message = one_error(done)
    assert re.search(case.says, message), message
    assert snapshot(place.room) == before


def check_json(case: Case, place: Place, run: Run) -> None:
    arguments = [*case.arguments(place), "--json"]
    before = snapshot(place.room)
    done = run(arguments)
    assert done.code == case.code
    one_error(done)
    error = done.document["error"]
    assert error["kind"] == case.kind
    assert re.search(case.says, " ".join(error["message"].split()))
    assert {"limit", "value", "nearest"} <= error.keys() or case.code != 3
    assert snapshot(place.room) == before


def one_error(done: Done) -> str:
    """The message of the only line that is not progress."""
    lines = complaints(done.stderr)
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: "), done.stderr
    return lines[0].removeprefix("error: ")


@pytest.mark.parametrize("check", [check_text, check_json])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_says_in_one_line_what_is_wrong_and_leaves_nothing(case: Case, check: Check, place: Place, run: Run) -> None:
    check(case, place, run)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_as_a_process_too(case: Case, place: Place) -> None:
    scratch = place.room / "tmp"
    scratch.mkdir()
    check_json(case, place, lambda args: mopar(*args, cache=place.work / "cache", env={"TMPDIR": str(scratch)}))


@pytest.fixture(scope="module")
def url(made: Pipeline) -> Iterator[str]:
    """URL of the bundle, served."""
    with served(made.bundle, made.cache) as (_, url):
        yield url


def _given(arguments: list[str], _: Place) -> list[str]:
    return arguments


def test_what_a_server_refuses(url: str, place: Place, run: Run) -> None:
    float32 = np.float32
    requests = [
        ("of-a-model", url.replace("towers", "castles"), place.inputs, "castles"),
        ("name", url, bad.npz("a.npz", user=np.zeros((1, 16), float32), itm=np.zeros((1, 24), float32))(place), "itm"),
        (
            "shape",
            url,
            bad.npz("b.npz", user=np.zeros((1, 9), float32), item=np.zeros((1, 24), float32))(place),
            "user",
        ),
        ("dtype", url, bad.npz("c.npz", user=np.zeros((1, 16)), item=np.zeros((1, 24), float32))(place), "user"),
        ("left-out", url, bad.npz("d.npz", user=np.zeros((1, 16), float32))(place), "item"),
    ]
    for name, address, inputs, says in requests:
        arguments = ["infer", address, "--inputs", str(inputs), "-o", str(place.room / "out.npz")]
        check_text(Case(name, functools.partial(_given, arguments), says, kind="request"), place, run)


def test_a_port_in_use(place: Place, run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        says = rf"port {port} on 127\.0\.0\.1 is in use: choose another with --port"
        case = Case("port-in-use", lambda p: ["serve", p.bundle, "--port", port], says, 1, "platform")
        check_json(case, place, run)
