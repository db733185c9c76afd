"""Commands of a container engine: run with a deadline, with bounded output, and errors in one line."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from mopar.files import state_directory
from mopar.platforms.container.hints import hint_of
from mopar.types import PlatformError, UsageError

ENGINES = ("podman", "docker")
_ENVIRONMENT = {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
"""Docker adds to an image when and where it was built otherwise, in a form that Lambda refuses."""
_MOST_BYTES = 8 << 20
_STOP_S = 5.0
_LET_END_S = 30.0
"""How long a command may still take after an interrupt."""
_MOST_CHARACTERS = 500


class CommandError(PlatformError):
    """The engine refused a command; ``text`` is all that it said."""

    def __init__(self, message: str, text: str) -> None:
        super().__init__(message)
        self.text = text


class Commands:
    """Runs commands of an engine.

    Args:
        program: ``podman``, ``docker`` or a path of either; None for which is found.
        runtime: what it starts containers with; None for its own choice.

    Raises:
        UsageError: it is not there.
    """

    def __init__(self, program: str | None, runtime: str | None = None) -> None:
        found = next(filter(None, map(shutil.which, [program] if program else ENGINES)), None)
        if found is None:
            raise UsageError(
                f"--engine {program}: there is no such program"
                if program
                else "no container engine: install podman or docker, or name one with --engine"
            )
        self._program = found
        self.name = "docker" if "docker" in found.rpartition("/")[2] else "podman"
        chosen = [] if runtime is None else ["--runtime", runtime]
        # To podman the runtime is named before each command, to docker when a container is made.
        self._before = chosen if self.name == "podman" else []
        self.when_made: Sequence[str] = chosen if self.name == "docker" else []

    def ask(self, words: Sequence[str], timeout_s: float, given: bytes | None = None, *, both: bool = False) -> str:
        """What a command prints on standard output.

        Args:
            words: of the command line, after the engine's name.
            timeout_s: after which it is ended.
            given: its standard input.
            both: return what it prints on standard error too.

        Raises:
            CommandError: it failed; names the command and the last line that it said.
            PlatformError: it took too long, or printed too much.
        """
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            status = self._run(words, timeout_s, given, output, errors)
            printed, said = _text(output), _text(errors)
        if status != 0:
            what = f"{self.name} {words[0]}"
            lines = [line for line in (said + "\n" + printed).splitlines() if line.strip()]
            last = lines[-1].strip() if lines else f"exit status {status}"
            raise CommandError(f"{what}: {_without_prefix(_last_of(said, last))}{hint_of(words[0], said)}", said)
        return printed + said if both else printed

    def _run(
        self, words: Sequence[str], timeout_s: float, given: bytes | None, output: IO[bytes], errors: IO[bytes]
    ) -> int:
        command = [self._program, *self._before, *words]
        stdin = subprocess.DEVNULL if given is None else subprocess.PIPE
        try:
            # A session of its own: Ctrl-C is ours to handle, and the engine goes on cleaning up until it is told.
            process = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=output,
                stderr=errors,
                cwd=_home(),
                env={**os.environ, **_ENVIRONMENT},
                start_new_session=True,
            )
        except OSError as cause:
            raise PlatformError(f"{self._program} cannot be started: {cause.strerror}") from cause
        began = time.monotonic()
        try:
            process.communicate(given, timeout=timeout_s)
        except subprocess.TimeoutExpired as cause:
            _end(process)
            raise PlatformError(
                f"{self.name} {words[0]} took longer than {time.monotonic() - began:.0f} s, and was ended"
            ) from cause
        except BaseException:  # an interrupt too: it must not go on behind our back
            # Ended in the middle, a build would leave a container of its own, and with it the images that it uses.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LET_END_S)
            _end(process)
            raise
        return process.returncode


def _home() -> Path:
    """Where commands run. What podman leaves behind for each container notes in its own folder that memory ran out."""
    home = state_directory() / "containers"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    return home


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _text(file: IO[bytes]) -> str:
    size = file.seek(0, 2)
    if size > _MOST_BYTES:
        file.seek(size - _MOST_BYTES)
    else:
        file.seek(0)
    return file.read(_MOST_BYTES).decode(errors="replace")


def _last_of(said: str, otherwise: str) -> str:
    """The line that says why: the last that begins with ``Error``, or the last of all."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if line.lower().startswith("error")), otherwise)


def _without_prefix(line: str) -> str:
    for prefix in ("Error: ", "ERROR: ", "error: "):
        line = line.removeprefix(prefix)
    text = " ".join(line.split())
    if len(text) <= _MOST_CHARACTERS:
        return text
    return f"{text[: _MOST_CHARACTERS // 2]} .. {text[-_MOST_CHARACTERS // 2 :]}"  # the cause comes last
