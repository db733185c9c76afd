"""The process of Amazon's runtime interface emulator: found, started, read and ended."""

import collections
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mopar.types import PlatformError

_PROGRAM = "aws-lambda-rie"
_MISSING = (
    "the runtime interface emulator is not here: install aws-lambda-rie, or pip install aws-sam-cli, which has it"
)
_HOST = "127.0.0.1"
_API_PORT = 9001
"""Where a function asks for calls."""
_START_S, _REPORT_S, _STOP_S = 10.0, 5.0, 5.0
_POLL_S = 0.005
_LINES_KEPT = 50
_LONGEST_LINE = 4096
_INIT = re.compile(r"INIT REPORT\(durationMs: ([0-9.]+)\)")
_DONE = re.compile(r"INVOKE RTDONE\(status: \w+, produced bytes: \d+, duration: ([0-9.]+)ms\)")
_OWN_LINE = re.compile(r"^\d\d \w{3} \d{4} \d\d:\d\d:\d\d,|^(START|END|REPORT) RequestId|^$")
# Runs the emulator until it ends or this process does, at whose end standard input closes.
_WATCHED = '"$@" </dev/null & child=$!; { read -r _; kill -9 $child; } <&3 & wait $child; kill $! 2>/dev/null'


@dataclass(frozen=True, slots=True)
class Report:
    """What the emulator reports of an invocation: its own time and, with the first one, that of the initialisation."""

    init_ms: float
    duration_ms: float


class EmulatorProcess:
    """The emulator with its function, which it starts when it is first called.

    Args:
        emulator: the program.
        command: that runs the function.
        variables: of the environment of both.
        folder: that they are started in.
        port: where it is called; None for any.

    Raises:
        PlatformError: it does not start.
    """

    def __init__(
        self,
        emulator: Path,
        command: Sequence[str],
        variables: Mapping[str, str],
        folder: Path,
        port: int | None = None,
    ) -> None:
        self.address = (_HOST, port or free_ports(1)[0])
        self._lines: collections.deque[str] = collections.deque(maxlen=_LINES_KEPT)
        self._said: collections.deque[str] = collections.deque(maxlen=_LINES_KEPT)
        self._reports: list[Report] = []
        self._init_ms = self._duration_ms = 0.0
        self._changed = threading.Condition()
        arguments = [
            *("--runtime-interface-emulator-address", f"{_HOST}:{self.address[1]}"),
            *("--runtime-api-address", f"{_own_loopback()}:{_API_PORT}"),
        ]
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec 3<&0; {_WATCHED}", "mopar", str(emulator), *arguments, *command],
                cwd=folder,
                env=dict(variables),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is ours to handle
            )
        except OSError as cause:
            raise PlatformError(f"the emulator {emulator} cannot be started: {cause}") from cause
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._await_listening()

    @property
    def pid(self) -> int:
        """Of a shell around it."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def report(self) -> Report:
        """The report of the last invocation. Raises PlatformError where there is none."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._reports, _REPORT_S):
                raise PlatformError("the emulator has not reported an invocation")
            return self._reports.pop()

    def reports(self) -> list[Report]:
        """All reports that have not been taken yet."""
        with self._changed:
            found, self._reports = self._reports, []
            return found

    def last_said(self) -> str:
        """The last line that the function itself has written."""
        self._reader.join(_POLL_S)
        return self._said[-1] if self._said else ""

    def stop(self) -> None:
        """End it at once, and what it started where that has not left its session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_S)
        assert self._process.stdin is not None, "started with a pipe"
        self._process.stdin.close()
        self._reader.join(_STOP_S)

    def _await_listening(self) -> None:
        until = time.monotonic() + _START_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(self.address, timeout=1.0):
                return
            if not self.alive() or time.monotonic() > until:
                self.stop()
                raise PlatformError(f"the emulator has ended: {' '.join(self._lines)[-500:] or 'no reason given'}")
            time.sleep(_POLL_S)

    def _read(self) -> None:
        """Take what emulator and function write, line by line."""
        assert self._process.stdout is not None, "started with a pipe"
        with self._process.stdout as stream:
            while line := stream.readline(_LONGEST_LINE):
                self._take(line.decode(errors="replace").rstrip())

    def _take(self, line: str) -> None:
        with self._changed:
            self._lines.append(line)
            if (found := _INIT.search(line)) is not None:
                self._init_ms = float(found[1])
            elif (found := _DONE.search(line)) is not None:
                self._duration_ms = float(found[1])
            elif line.startswith("REPORT RequestId"):
                self._reports = [Report(self._init_ms, self._duration_ms)]
                self._init_ms = self._duration_ms = 0.0
                self._changed.notify_all()
            elif not _OWN_LINE.search(line):
                self._said.append(line)


def find_emulator() -> Path:
    """The emulator's program: on the PATH, beside this Python, or in aws-sam-cli. Raises PlatformError."""
    import importlib.util  # a gateway that runs emulators is told where theirs is
    import shutil

    scripts = os.fspath(Path(sys.executable).parent)
    program = shutil.which(_PROGRAM) or shutil.which(_PROGRAM, path=scripts)
    if program is not None:
        return Path(program)
    found = importlib.util.find_spec("samcli")
    for home in (found.submodule_search_locations or ()) if found is not None else ():
        name = f"{_PROGRAM}-{'arm64' if os.uname().machine == 'aarch64' else 'x86_64'}"
        path = Path(home) / "local" / "rapid" / name
        if os.access(path, os.X_OK):
            return path
    raise PlatformError(_MISSING)


def _own_loopback() -> str:
    """A loopback address that no other emulator has.

    The port is not bound before the first call, and until then any program could take one of the common address.
    """
    return ".".join(["127", *(str(1 + byte % 254) for byte in os.urandom(3))])


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nobody listens on now."""
    with contextlib.ExitStack() as held:
        return [held.enter_context(socket.create_server((_HOST, 0))).getsockname()[1] for _ in range(count)]
