"""An interrupted command cleans up everything: files, processes, cgroups."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from mopar.files import to_json
from mopar.graph import load_model
from mopar.limits import detect_cgroups
from tests.bundle.plans import built, chain, some_cuts
from tests.cli.harness import complaints, environment, snapshot
from tests.pipeline.test_serve import wait_for_end
from tests.platforms.local.leftovers import cgroups_of, workers_of

PATIENCE_S = 60.0
PROMPT_S = 15.0
"""Far longer than cleaning up takes."""


@dataclass(frozen=True)
class Desk:
    """A model of some megabytes, a plan and a bundle of it, and a folder for output of commands."""

    model: Path
    plan: Path
    bundle: Path
    room: Path
    cache: Path


@pytest.fixture(scope="module")
def desk(reference: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Desk:
    work = tmp_path_factory.mktemp("interrupts")
    path = work / "model" / "two_input.onnx"
    path.parent.mkdir()
    shutil.copyfile(reference("two_input"), path)
    model = load_model(path)
    (work / "plan.json").write_bytes(to_json(chain(model, some_cuts(model, 3))))
    built(path, work / "bundle")
    for folder in ("out", "tmp"):
        (work / folder).mkdir()
    return Desk(path, work / "plan.json", work / "bundle", work, work / "cache")


def appears(pattern: str) -> Callable[[Desk, int], bool]:
    """Whether a file of that name exists in the desk's folders."""
    return lambda desk, _: any(desk.room.glob(pattern))


def works(_: Desk, pid: int) -> bool:
    """Whether the command has workers, under limits where there are any."""
    return bool(cgroups_of(pid) if detect_cgroups() is not None else workers_of(pid))


def captures(desk: Desk, pid: int) -> bool:
    """Whether the exporting process and its output folder exist."""
    return bool(workers_of(pid)) and any(desk.room.glob("out/.m.onnx.*"))


@dataclass(frozen=True)
class Moment:
    """A command, and the condition that shows that it is in the middle."""

    name: str
    arguments: Callable[[Desk], Sequence[str | Path]]
    reached: Callable[[Desk, int], bool]


MOMENTS = [
    Moment(
        "profile-times",
        lambda d: ["profile", d.model, "--no-cache", "-o", d.room / "out/p.json"],
        appears("tmp/mopar-profile-*/job.json"),
    ),
    Moment(
        "profile-memory",
        lambda d: ["profile", d.model, "--no-cache", "-o", d.room / "out/p.json"],
        works,
    ),
    Moment("build", lambda d: ["build", d.model, d.plan, "-o", d.room / "out/b"], appears("out/.b.*/graphs/*.onnx")),
    Moment("verify", lambda d: ["verify", d.bundle, "--against", d.model], works),
    Moment("zoo", lambda d: ["zoo", "export", "gcn", "-o", d.room / "out/m.onnx"], captures),
    Moment("bench", lambda d: ["bench", d.model], appears("model/.mopar-bench-*/*/graphs")),
]


def cases() -> Iterator[pytest.ParameterSet]:
    """Every command with Ctrl-C, one with SIGTERM; the slow suite runs the others."""
    for moment in MOMENTS:
        for number in (signal.SIGINT, signal.SIGTERM):
            quick = moment.name != "bench" and (number == signal.SIGINT or moment.name == "verify")
            marks = [] if quick else [pytest.mark.slow]
            yield pytest.param(moment, number, id=f"{moment.name}-{number.name}", marks=marks)


@pytest.mark.parametrize(("moment", "number"), list(cases()))
def test_an_end_in_the_middle_leaves_nothing(desk: Desk, moment: Moment, number: signal.Signals) -> None:
    before = snapshot(desk.room, but=desk.cache)
    process = started(desk, moment)
    workers = workers_of(process.pid)
    # Ctrl-C reaches the whole foreground group; other signals the command alone.
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    out, err = process.communicate(timeout=PROMPT_S)
    assert (process.returncode, out) == (128 + number, "")
    assert complaints(err) == []
    for worker in workers:
        wait_for_end(worker)
    assert cgroups_of(process.pid) == []
    assert snapshot(desk.room, but=desk.cache) == before


def started(desk: Desk, moment: Moment) -> subprocess.Popen[str]:
    """Start the command and wait until it is in the middle."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mopar", *map(str, moment.arguments(desk))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment(desk.cache), "TMPDIR": str(desk.room / "tmp")},
        start_new_session=True,
    )
    deadline = time.monotonic() + PATIENCE_S
    while not moment.reached(desk, process.pid):
        try:
            process.wait(timeout=0.005)
        except subprocess.TimeoutExpired:
            assert time.monotonic() < deadline, f"{moment.name} was never in the middle"
        else:
            pytest.fail(f"{moment.name} ended before it was in the middle: {process.communicate()[1]}")
    return process


@pytest.mark.parametrize(
    "where",
    [
        # As a library when it is imported: the interpreter remembers a KeyboardInterrupt from there.
        'exec("signal.raise_signal(signal.SIGINT)")',
        # As C modules while they are initialised.
        "fail_by(lambda: signal.raise_signal(signal.SIGINT))",
    ],
    ids=["code-made-from-a-string", "an-error-made-of-it"],
)
def test_ctrl_c_within_a_library_is_an_exit_code(tmp_path: Path, where: str) -> None:
    (tmp_path / "interrupted.py").write_text(INTERRUPTED.format(where=where))
    command = [sys.executable, "-m", "interrupted"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, "", "")


INTERRUPTED = """
import signal
import mopar.cli.app

def fail_by(step):
    try:
        step()
    except BaseException as error:
        raise ImportError("initialization failed") from error

mopar.cli.app.run_app = lambda _: {where}
mopar.cli.main()
"""
