"""A function of the fake platform: a real process, under a real limit, started again when it dies."""

import contextlib
import http.client
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import mopar
from mopar.limits import Cgroup, Cgroups
from mopar.platforms.health import answers
from mopar.runtime.environment import environment_of
from tests.platforms.openfaas.images import Image

_SOURCES = str(Path(mopar.__file__).parents[1])
_RESTART_S = 0.1
_CALL_S = 30.0
_HOPS = frozenset({"connection", "host", "keep-alive", "transfer-encoding", "content-length"})
_NUMBERS = itertools.count()


def limit_bytes(quantity: str) -> int | None:
    """The limit that the platform makes of a quantity; what it does not know is no limit, and ``64m`` is one byte."""
    found = re.fullmatch(r"([0-9.]+)(Ki|Mi|Gi|k|M|G|m|)", quantity)
    if found is None:
        return None
    unit = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "k": 1e3, "M": 1e6, "G": 1e9, "m": 1e-3, "": 1}[found[2]]
    return max(int(float(found[1]) * unit), 1)


class Reply(Exception):  # noqa: N818 - it is an answer
    """What the platform answers by itself."""

    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(text)
        self.status = status


class FakeFunction:
    """A function's process.

    Args:
        name: of the function.
        image: what runs; None for a function that never does.
        variables: of its environment.
        memory: its limit as a quantity.
        groups: to limit it with; None for no limits.
        folder: for its files.
    """

    def __init__(
        self,
        name: str,
        image: Image | None,
        variables: Mapping[str, str],
        memory: str,
        groups: Cgroups | None,
        folder: Path,
    ) -> None:
        self.name = name
        self.limit = limit_bytes(memory)
        self.starts = 0
        self._image = image
        self._variables = variables
        self._groups = groups
        self._folder = folder / f"{name}-{next(_NUMBERS)}"
        self._process: subprocess.Popen[bytes] | None = None
        self._group: Cgroup | None = None
        self._port = 0
        self._was_up = False
        self._stopping = threading.Event()
        self._keeper: threading.Thread | None = None
        if image is not None:
            self._folder.mkdir()
            self._keeper = threading.Thread(target=self._keep, daemon=True)
            self._keeper.start()

    @property
    def url(self) -> str:
        """Where its process listens."""
        return f"http://127.0.0.1:{self._port}"

    def await_start(self, timeout_s: float) -> None:
        """Wait until its process answers."""
        deadline = time.monotonic() + timeout_s
        while not (self._port and answers(self.url)):
            assert time.monotonic() < deadline, f"{self.name} does not start"
            time.sleep(0.01)

    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """Kill its process, as the kernel does where memory runs out, and wait for its end."""
        while self._process is None or self._process.poll() is not None:
            time.sleep(0.005)
        self._process.kill()
        self._process.wait()

    def stop(self, patience_s: float) -> bool:
        """End it; whether it ended by itself."""
        self._stopping.set()
        deadline, heeded = time.monotonic() + patience_s, True
        while self._keeper is not None and self._keeper.is_alive():
            if self._process is not None and self._process.poll() is None:
                heeded = time.monotonic() < deadline
                self._process.send_signal(signal.SIGTERM if heeded else signal.SIGKILL)
            self._keeper.join(0.02)
        return heeded

    def call(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Its answer. Raises Reply where there is none."""
        kept = {name: value for name, value in headers.items() if name.lower() not in _HOPS}
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_CALL_S)
        try:
            connection.request(method, path, body, kept)
            response = connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException) as cause:
            raise Reply(500, f"Can't reach service for: {self.name}." if self._was_up else "") from cause
        finally:
            connection.close()
        self._was_up = True
        return response.status, [(k, v) for k, v in response.getheaders() if k.lower() not in _HOPS], data

    def _keep(self) -> None:
        """Start the process, and start it again whenever it dies."""
        while not self._stopping.is_set():
            self._port = _free_port()
            self._group = self._limited()
            command = self._command()
            if self._group is not None:
                command = self._group.join_command(command)
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # it ends with the fake
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self._environment(),
                start_new_session=True,
            )
            self.starts += 1
            self._process.wait()
            assert self._process.stdin is not None
            self._process.stdin.close()
            if self._group is not None:
                self._group.remove()
            self._stopping.wait(_RESTART_S)

    def _limited(self) -> Cgroup | None:
        if self._groups is None or self.limit is None:
            return None
        group = self._groups.create("openfaas")
        group.limit(self.limit, None)
        return group

    def _command(self) -> list[str]:
        assert self._image is not None
        if self._image.code:
            return [sys.executable, "-c", self._image.code]
        if self._image.bundle:
            functions = self._folder / "functions.json"
            functions.write_text(self._variables["MOPAR_FUNCTIONS"])
            words = ["serve", self._image.bundle, f"--functions={functions}", f"--port={self._port}", "--with-parent"]
            return [sys.executable, "-m", "mopar", *words]
        config = self._folder / "function.json"
        config.write_text(self._image.config)
        words = [str(config), "--port", str(self._port), "--with-parent"]
        return [sys.executable, "-m", "mopar.runtime.http", *words]

    def _environment(self) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ}
        return {**inherited, **environment_of("keeping"), "PYTHONPATH": _SOURCES, **self._variables}


def _free_port() -> int:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port: int = listener.getsockname()[1]
    return port
