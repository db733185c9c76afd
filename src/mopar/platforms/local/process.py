"""A worker as a process of this machine: started, spoken to, stopped. Blocking."""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import mopar
from mopar.bundle import WORKER
from mopar.limits import Cgroup
from mopar.platforms.local.library import engine_library
from mopar.platforms.local.segments import Segment
from mopar.runtime import frames
from mopar.runtime.environment import ENVIRONMENT
from mopar.types import EngineError, EngineOptions, PlatformError

_BOOT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from {} import main; main()"
_SEND_BUFFER_BYTES = 1 << 20
_STOP_S = 5.0
_MOST_FILES = 256
"""Descriptors of a function: its socket, its libraries, and a graph's files while they are loaded."""
_NOT_JOINED = 125

_INHERITED = ("LD_LIBRARY_PATH",)  # a Python may need it to find its own library


@dataclass(frozen=True, slots=True)
class GraphFile:
    """A graph for a worker: its file, how to load it, and its inputs and outputs in order."""

    path: Path
    options: EngineOptions
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What a worker runs.

    Attributes:
        function: its name.
        graphs: in the order in which calls number them.
        threads: of an operator.
        cores: that it is pinned to; empty leaves that to the scheduler.
        library: ONNX Runtime's, where it is not the installed one.
        module: whose ``main`` serves the frames; one other than ``WORKER`` may import installed packages.
    """

    function: str
    graphs: tuple[GraphFile, ...]
    threads: int = 1
    cores: tuple[int, ...] = ()
    library: Path | None = None
    module: str = WORKER


class WorkerProcess:
    """A running worker, one frame at a time.

    Args:
        spec: what it runs.
        cgroup: it joins before exec, so that everything from the first page on is counted; or None.
    """

    def __init__(self, spec: WorkerSpec, cgroup: Cgroup | None = None) -> None:
        self.spec = spec
        self.attached: set[int] = set()
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as cause:
            raise PlatformError(f"function {spec.function} cannot be started: {cause.strerror}") from cause
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        self.socket = ours
        flags = ["-I", "-S"] if spec.module == WORKER else ["-I"]
        boot = _BOOT.format(spec.module)
        command = [sys.executable, *flags, "-B", "-c", boot, _package_root(), str(theirs.fileno())]
        if cgroup is not None:
            command = cgroup.join_command(command)
        try:
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                env=ENVIRONMENT | {name: os.environ[name] for name in _INHERITED if name in os.environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is the gateway's to handle
            )
        except OSError as cause:
            ours.close()
            raise PlatformError(f"function {spec.function} cannot be started: {cause}") from cause
        finally:
            theirs.close()
        self.pid = self._process.pid
        try:
            with contextlib.suppress(ProcessLookupError):  # whoever speaks to it will hear how it ended
                resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (_MOST_FILES, _MOST_FILES))
            self._pin(spec.cores)
        except OSError as cause:
            self.stop()
            raise PlatformError(
                f"function {spec.function} cannot run on cores {spec.cores}: {cause.strerror}"
            ) from cause

    def load(self, timeout_s: float) -> None:
        """Wait until its graphs are loaded.

        Raises:
            EngineError: ONNX Runtime refused a graph.
            PlatformError: the process died or took longer than ``timeout_s``.
        """
        deadline = time.monotonic() + timeout_s
        library = self.spec.library or engine_library()
        self.ask(frames.pack_init(str(library), self.spec.threads), deadline - time.monotonic())
        for graph in self.spec.graphs:
            try:
                frame = frames.pack_load(
                    str(graph.path), _flags(graph.options), list(graph.inputs), list(graph.outputs)
                )
            except ValueError as cause:
                raise EngineError(f"function {self.spec.function}: {cause}") from cause
            self.ask(frame, max(deadline - time.monotonic(), 0.001))

    def attach(self, segment: Segment) -> None:
        """Share a segment with the worker, unless it has it already."""
        if segment.number not in self.attached:
            frame = frames.pack_attach(segment.number, segment.size)
            socket.send_fds(self.socket, [frame], [segment.descriptor])
            self.attached.add(segment.number)

    def detach(self, number: int) -> None:
        """Make the worker forget a segment."""
        if number in self.attached:
            self.attached.discard(number)
            with contextlib.suppress(OSError):
                self.socket.send(frames.pack_detach(number))

    def ask(self, frame: bytes, timeout_s: float) -> memoryview:
        """Send a frame and wait for its answer.

        Raises:
            EngineError: the worker answered FAILED.
            PlatformError: it died, or did not answer within ``timeout_s``.
        """
        self.socket.settimeout(max(timeout_s, 0.001))
        try:
            self.socket.send(frame)
            reply = self.socket.recv(frames.MAX_FRAME)
        except TimeoutError as cause:
            raise PlatformError(f"function {self.spec.function} did not answer within {timeout_s:.1f} s") from cause
        except OSError as cause:
            raise PlatformError(f"function {self.spec.function} {self.exit_reason()}") from cause
        if not reply:
            raise PlatformError(f"function {self.spec.function} {self.exit_reason()}")
        if frames.kind_of(reply) == frames.FAILED:
            text, _ = frames.unpack_failed(memoryview(reply))
            raise EngineError(f"function {self.spec.function}: {' '.join(text.split())}")
        return memoryview(reply)

    def exit_reason(self) -> str:
        """How it ended, in words."""
        try:
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            return "closed its connection"
        if code == _NOT_JOINED:
            return "could not join its cgroup"
        if code == -signal.SIGKILL:
            return "was killed (out of memory, or by hand)"
        return f"was killed by signal {-code}" if code < 0 else f"exited with status {code}"

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End it at once: a function keeps nothing worth saving between calls."""
        self.socket.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # it hangs in the kernel, and ends when it leaves it
            self._process.wait(timeout=_STOP_S)

    def _pin(self, cores: tuple[int, ...]) -> None:
        if cores:
            with contextlib.suppress(ProcessLookupError):  # whoever speaks to it will hear how it ended
                os.sched_setaffinity(self.pid, cores)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _flags(options: EngineOptions) -> int:
    return (
        frames.OPTIMIZE * (options.optimize == "all")
        + frames.PREPACK * options.prepack
        + frames.ARENA * options.arena
        + frames.MEMORY_PATTERN * options.memory_pattern
    )


def _package_root() -> str:
    return os.fspath(Path(mopar.__file__).resolve().parent.parent)
