"""The command line as a user runs it: a process, its output and its exit code."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.stdout)


def mopar(*arguments: str | Path, cache: Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Done:
    """Run ``mopar`` with a cache of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "mopar", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=cwd,
        env={**os.environ, "XDG_CACHE_HOME": str(cache), "NO_COLOR": "1", **(env or {})},
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)
