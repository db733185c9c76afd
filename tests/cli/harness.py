"""Runs the command line like a user: a process, its output and its exit code."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Done:
    """The result of a command."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """The single JSON document on stdout."""
        return json.loads(self.stdout)


@dataclass(frozen=True)
class Pipeline:
    """Results of the verbs run one after the other in ``work``, and the first one's output."""

    work: Path
    model: Path
    profiled: Done

    @property
    def cache(self) -> Path:
        return self.work / "cache"

    @property
    def profile(self) -> Path:
        return self.work / "profile.json"

    @property
    def plan(self) -> Path:
        return self.work / "plan.json"

    @property
    def bundle(self) -> Path:
        return self.work / "bundle"

    @property
    def inputs(self) -> Path:
        return self.work / "in.npz"


@dataclass(frozen=True)
class Place(Pipeline):
    """The same, and an empty folder for a test's results."""

    room: Path


def complaints(stderr: str) -> list[str]:
    """Lines of stderr beside progress and notes, whatever the load of the machine."""
    return [line for line in stderr.splitlines() if not line.endswith(" ..") and not line.startswith("note: ")]


def mopar(*arguments: str | Path, cache: Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Done:
    """Run ``mopar`` with a separate cache."""
    done = subprocess.run(
        [sys.executable, "-m", "mopar", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=cwd,
        env={**environment(cache), **(env or {})},
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def environment(cache: Path) -> dict[str, str]:
    """Environment of a command with a separate cache."""
    return {**os.environ, "XDG_CACHE_HOME": str(cache), "NO_COLOR": "1"}


def snapshot(folder: Path, but: Path | None = None) -> dict[str, bytes | None]:
    """Everything in a folder, hidden files too: contents by path, None for folders."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if but is None or not path.is_relative_to(but):
            found[str(path.relative_to(folder))] = path.read_bytes() if path.is_file() else None
    return found


@contextlib.contextmanager
def served(bundle: Path, cache: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``mopar serve`` as a process, and its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mopar", "serve", str(bundle), "--port", "0", "--json", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(cache),
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        yield process, json.loads("".join(lines))["url"]
    finally:
        process.kill()
        process.communicate(timeout=30)
