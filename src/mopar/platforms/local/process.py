"""A function as a process of this machine: how it is started, loaded and stopped. Blocking."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mopar.bundle import WORKER
from mopar.limits import Cgroup
from mopar.platforms.function_process import command_of
from mopar.runtime.environment import KEEPING, environment_of
from mopar.types import EngineOptions, PlatformError

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
        allocator: what it does with freed memory, one of ``ALLOCATORS``.
        module: whose ``main`` serves the frames; one other than ``WORKER`` may import installed packages.
    """

    function: str
    graphs: tuple[GraphFile, ...]
    threads: int = 1
    cores: tuple[int, ...] = ()
    library: Path | None = None
    allocator: str = KEEPING
    module: str = WORKER


class FunctionProcess(ABC):
    """A function's process under its limits.

    Args:
        spec: what it runs.
        cgroup: that it joins before exec, so that everything from the first page on is counted; None for no limits.
        arguments: of its command line, after those of every function.
        inherited: descriptors that it inherits.
        stdin, stdout: as ``subprocess`` takes them.

    Raises:
        PlatformError: it cannot be started.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        cgroup: Cgroup | None,
        arguments: Sequence[str],
        inherited: Sequence[int],
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
    ) -> None:
        self.spec = spec
        command = [*command_of(sys.executable, _package_root(), spec.module), *arguments]
        if cgroup is not None:
            command = cgroup.join_command(command)
        try:
            self._process = subprocess.Popen(
                command,
                pass_fds=inherited,
                env=environment_of(spec.allocator)
                | {name: os.environ[name] for name in _INHERITED if name in os.environ},
                stdin=stdin,
                stdout=stdout,
                start_new_session=True,  # Ctrl-C is the gateway's to handle
            )
        except OSError as cause:
            raise PlatformError(f"function {spec.function} cannot be started: {cause}") from cause
        self.pid = self._process.pid
        try:
            with contextlib.suppress(ProcessLookupError):  # it has ended; its first user gets the reason
                resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (_MOST_FILES, _MOST_FILES))
            self._pin(spec.cores)
        except OSError as cause:
            self.stop()
            raise PlatformError(
                f"function {spec.function} cannot run on cores {spec.cores}: {cause.strerror}"
            ) from cause

    @abstractmethod
    def load(self, timeout_s: float) -> None:
        """Wait until its graphs are loaded.

        Raises:
            EngineError: ONNX Runtime refused a graph.
            PlatformError: the process died or took longer than ``timeout_s``.
        """

    @abstractmethod
    def fileno(self) -> int:
        """A descriptor that becomes readable when the process ends, or sends something."""

    def exit_reason(self) -> str:
        """How it ended, as the end of a message."""
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
        """End it at once: a function has no state to save between calls."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # it is blocked in the kernel, and ends when that returns
            self._process.wait(timeout=_STOP_S)

    def _pin(self, cores: tuple[int, ...]) -> None:
        if cores:
            with contextlib.suppress(ProcessLookupError):  # it has ended; its first user gets the reason
                os.sched_setaffinity(self.pid, cores)


def _package_root() -> str:
    return os.fspath(Path(__file__).resolve().parents[3])
