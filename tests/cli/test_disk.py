"""A full disk is reported in one line, and existing files stay unchanged."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mopar.bundle import open_bundle
from tests.cli.harness import Done, Pipeline, complaints, environment, snapshot

Arguments = Callable[[Pipeline, Path], Sequence[str | Path]]

# Writing to a file of limited size fails as on a full disk, without the need for one.
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
del sys.argv[1]
from mopar.cli import main
main()
"""


def cramped(limit: int, arguments: Sequence[str | Path], made: Pipeline, scratch: Path) -> Done:
    """Run the command with files limited to ``limit`` bytes."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**environment(made.cache), "TMPDIR": str(scratch)},
        timeout=120,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


COMMANDS: dict[str, tuple[int, Arguments]] = {
    "profile": (512, lambda p, out: ["profile", p.model, "--no-cache", "-o", out / "file"]),
    "profile-at-last": (4096, lambda p, out: ["profile", p.model, "-o", out / "file"]),
    "plan": (512, lambda p, out: ["plan", p.profile, "-o", out / "file"]),
    "build": (512, lambda p, out: ["build", p.model, p.plan, "-o", out / "bundle"]),
    "build-at-last": (8192, lambda p, out: ["build", p.model, p.plan, "-o", out / "bundle"]),
    "infer": (128, lambda p, out: ["infer", p.bundle, "--inputs", p.inputs, "-o", out / "file"]),
}


@pytest.mark.parametrize(("limit", "arguments"), COMMANDS.values(), ids=COMMANDS)
def test_no_room_is_one_line_and_changes_nothing(
    limit: int, arguments: Arguments, made: Pipeline, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("from before")
    shutil.copytree(made.bundle, tmp_path / "bundle")
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    before = snapshot(tmp_path)
    done = cramped(limit, arguments(made, tmp_path), made, scratch)
    assert (done.code, done.stdout) == (1, "")
    lines = complaints(done.stderr)
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert "make room" in lines[0] or "no room?" in lines[0]
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("options", [[], ["--json"], ["--help"]], ids=["text", "json", "help"])
def test_a_result_that_cannot_be_printed_is_one_line(options: list[str], made: Pipeline, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mopar", "plan", str(made.profile), "-o", str(tmp_path / "plan.json"), *options]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment(made.cache), check=False
        )
    assert done.returncode == 1
    lines = complaints(done.stderr)
    assert lines == ["error: standard output: No space left on device: make room"]


def test_a_reader_that_leaves_is_no_error(made: Pipeline, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mopar", "plan", str(made.profile), "-o", str(tmp_path / "plan.json")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(made.cache)
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert complaints(process.stderr.read()) == []
        assert process.wait(timeout=60) == 0


def test_two_builds_to_one_folder(made: Pipeline, tmp_path: Path) -> None:
    """Both succeed, the last one's result stays, and no temporary files are left."""
    command = [sys.executable, "-m", "mopar", "build", str(made.model), str(made.plan), "-o", str(tmp_path / "bundle")]
    running = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(made.cache)
        )
        for _ in range(2)
    ]
    for process in running:
        errors = process.communicate(timeout=120)[1]
        assert process.returncode == 0, errors
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert open_bundle(tmp_path / "bundle").manifest == open_bundle(made.bundle).manifest
