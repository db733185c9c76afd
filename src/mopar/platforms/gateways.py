"""Gateways that run in the background of this machine: started, found again by name, stopped.

Each is a ``mopar serve`` process with a record in the user's state folder, ``gateways/PLATFORM/NAME.json``, and its
messages in the ``.log`` beside it. A record whose process has ended, or is another one by now, counts as stopped.
"""

import contextlib
import fcntl
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path

import msgspec

from mopar.files import read_json, state_directory, to_json, write_whole
from mopar.types import PlatformError, UsageError

_START_S = 180.0
_STOP_S = 15.0
_PAUSE_S = 0.02
_MOST_TEXT = 1 << 16
_STARTED_FIELD = 19  # of /proc/PID/stat after the name: when the process started, in clock ticks since boot


@dataclass(frozen=True, slots=True)
class GatewayRecord:
    """A gateway that was started.

    Attributes:
        name: of the deployment.
        pid, started: its process, told from a later one of the same number by when it started.
        url: of the model that it serves.
        words: of its command line, after ``mopar serve``.
        document: the platform's own facts about the deployment, as JSON.
    """

    name: str
    pid: int
    started: int
    url: str
    words: tuple[str, ...]
    document: str = "{}"
    schema: int = 1

    def alive(self) -> bool:
        """Whether its process still runs."""
        return _started(self.pid) == self.started

    def port(self) -> int:
        """Where it listens."""
        return int(self.url.split("/")[2].rpartition(":")[2])

    def words_again(self) -> tuple[str, ...]:
        """The words with the port that it had, where any was asked for, so that clients find it again."""
        return (*(word for word in self.words if not word.startswith("--port=")), f"--port={self.port()}")


class _Printed(msgspec.Struct):
    """What ``mopar serve --json`` prints: its address, or why it did not start."""

    class Error(msgspec.Struct):
        message: str

    url: str = ""
    error: Error | None = None


class BackgroundGateways:
    """The gateways of one platform's deployments.

    Args:
        platform: its name.
    """

    def __init__(self, platform: str) -> None:
        self._platform = platform
        self._home = state_directory() / "gateways" / platform

    def log(self, name: str) -> Path:
        """Where a gateway's messages are."""
        return self._home / f"{name}.log"

    def functions_file(self, name: str) -> Path:
        """Where a gateway's addresses of functions are that run elsewhere (``mopar.platforms.endpoints``)."""
        return self._home / f"{name}.functions"

    def files(self, name: str) -> Path:
        """The folder of what else a deployment has here."""
        return self._home / f"{name}.files"

    @contextlib.contextmanager
    def changing(self, name: str) -> Iterator[None]:
        """Keep other commands from changing a deployment meanwhile. Raises UsageError where one does already."""
        self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._home / f"{name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as cause:
                raise UsageError(f"{name} is being deployed or removed by another command: wait for it") from cause
            yield

    def find(self, name: str) -> GatewayRecord | None:
        """The gateway's record, whether it still runs or not."""
        path = self._home / f"{name}.json"
        return read_json(path, GatewayRecord, error=PlatformError) if path.exists() else None

    def start(self, name: str, words: Sequence[str], document: str = "{}") -> GatewayRecord:
        """Start ``mopar serve`` with ``words`` and wait until it is ready; the record of an earlier one is replaced.

        Raises:
            PlatformError: it did not start; the message is its own.
        """
        command = [sys.executable, "-m", "mopar", "serve", *words, "--json"]
        printed, printing = os.pipe()
        try:
            pid = _spawned(command, printing, self.log(name))
        except OSError as cause:
            os.close(printed)
            raise PlatformError(f"the gateway of {name} cannot be started: {cause.strerror}") from cause
        finally:
            os.close(printing)
        try:
            with os.fdopen(printed, "rb", buffering=0) as pipe:
                url = self._address(pipe, name)
            record = GatewayRecord(name, pid, _started(pid) or 0, url, tuple(words), document)
            write_whole(self._home / f"{name}.json", to_json(record))
        except BaseException:  # an interrupt too: nothing half-started stays
            _end(pid, _started(pid))
            raise
        return record

    def stop(self, record: GatewayRecord) -> None:
        """Stop a gateway and its functions; its record stays until ``forget``."""
        if record.alive():
            _end(record.pid, record.started)

    def forget(self, name: str) -> None:
        """Remove a gateway's record, its messages, its addresses of functions and its files."""
        for path in (self._home / f"{name}.json", self.log(name), self.functions_file(name)):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.files(name), ignore_errors=True)

    def _address(self, pipe: RawIOBase, name: str) -> str:
        """What the gateway prints when it is ready. Raises PlatformError."""
        deadline, output, found = time.monotonic() + _START_S, b"", None
        while len(output) < _MOST_TEXT:
            if not select.select([pipe], [], [], max(deadline - time.monotonic(), 0.0))[0]:
                raise PlatformError(f"the gateway of {name} was not ready within {_START_S:g} s: see {self.log(name)}")
            more = pipe.read(_MOST_TEXT) or b""
            output += more
            found = _printed(output)
            if found is not None and found.url:
                return found.url
            if not more:
                break
        why = found.error.message if found is not None and found.error is not None else f"see {self.log(name)}"
        raise PlatformError(f"the gateway of {name} did not start: {why}")


def _printed(output: bytes) -> _Printed | None:
    """The document in ``output``; None where it is not whole."""
    try:
        return msgspec.json.decode(output, type=_Printed)
    except msgspec.DecodeError:
        return None


def _spawned(command: Sequence[str], stdout: int, log: Path) -> int:
    """Start a process that this one neither waits for nor ends with; its number."""
    writing = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, stdout, 1),
        (os.POSIX_SPAWN_OPEN, 2, str(log), writing, 0o600),
    ]
    # A shell's background jobs ignore SIGINT, and so would the gateway.
    return os.posix_spawn(
        command[0],
        list(command),
        os.environ,
        file_actions=actions,
        setsid=True,
        setsigdef=[signal.SIGINT, signal.SIGTERM],
    )


def _end(pid: int, started: int | None) -> None:
    """SIGTERM, and SIGKILL where that does not do; its functions end with it. Raises PlatformError."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if started is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + _STOP_S
        while time.monotonic() < deadline:
            if started is None or _started(pid) != started:
                _reap(pid)
                return
            time.sleep(_PAUSE_S)
    raise PlatformError(f"process {pid} does not end")


def _reap(pid: int) -> None:
    """Let an ended process go, if this one started it."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _started(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None where there is none, or it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[_STARTED_FIELD])
