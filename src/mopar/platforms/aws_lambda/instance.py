"""An emulated function: what it is, and the running emulator with it. Blocking.

Its folder has what ``mopar deploy --emulate`` wrote: the package's files in ``TASK``, and ``SPEC``.
"""

import os
import select
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mopar.limits import Cgroup, process_tree
from mopar.platforms.aws_lambda.emulator_process import EmulatorProcess
from mopar.platforms.aws_lambda.faults import fault_of
from mopar.platforms.aws_lambda.place import PATH
from mopar.platforms.base import Bill
from mopar.types import PlatformError

SPEC, TASK = "instance.json", "task"
HOST = "127.0.0.1"
_UNLIKE = b"{}"
"""A message that every function refuses once it is initialised."""
_GIB_MIB = 1024


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """An emulated function.

    Attributes:
        function: its name.
        memory_mib: that is bought.
        vcpus: that it buys.
        emulator: the program.
        command: that runs the function.
        environment: of both.
        gib_s_usd, request_usd: prices, of one GiB for one second and of one call.
        billing_unit_ms: that durations are rounded up to.
    """

    function: str
    memory_mib: int
    vcpus: float
    emulator: str
    command: tuple[str, ...]
    environment: dict[str, str]
    gib_s_usd: float
    request_usd: float
    billing_unit_ms: float

    def bill(self, duration_ms: float) -> Bill:
        """What a call of this duration costs."""
        units = -int(-duration_ms // self.billing_unit_ms) if self.billing_unit_ms else 0
        ms = units * self.billing_unit_ms if self.billing_unit_ms else duration_ms
        return Bill(ms, ms / 1e3 * self.memory_mib / _GIB_MIB * self.gib_s_usd + self.request_usd)


class Instance:
    """A running emulator with its function, which ends with it.

    Args:
        spec: of the function.
        folder: its own.
        port: where it is called.
        cgroup: that the function joins, and the emulator does not; None for no limits.
        variables: of the environment, beside those of the spec.
    """

    def __init__(
        self, spec: InstanceSpec, folder: Path, port: int, cgroup: Cgroup | None, variables: Mapping[str, str]
    ) -> None:
        self._name = spec.function
        self._cgroup = cgroup
        self._cmdline = b"".join(word.encode() + b"\0" for word in spec.command)
        command = list(spec.command) if cgroup is None else cgroup.join_command(spec.command)
        environment = spec.environment | dict(variables)
        self._emulator = EmulatorProcess(Path(spec.emulator), command, environment, folder / TASK, port)
        self._ends = select.epoll()
        self._watched: list[int] = []
        self._watch(self._emulator.pid)
        self.init_ms = 0.0

    @property
    def pid(self) -> int:
        """Of a shell around the emulator."""
        return self._emulator.pid

    def load(self, timeout_s: float) -> None:
        """Have the function initialised, by a call that it refuses. Raises PlatformError."""
        try:
            body = self._asked(timeout_s)
        except OSError as cause:
            raise PlatformError(f"function {self._name} did not start: {cause}") from cause
        fault = fault_of(body)
        if fault is not None:
            said = self._emulator.last_said().removeprefix("failed: ")
            raise PlatformError(f"function {self._name} cannot be initialised: {said or fault}")
        self.init_ms = self._emulator.report().init_ms
        for pid in self._processes():
            self._watch(pid)

    def fileno(self) -> int:
        """Becomes readable when the emulator or the function ends."""
        return self._ends.fileno()

    def exit_reason(self) -> str:
        """How it ended, as the end of a message."""
        said = self._emulator.last_said()
        return f"died{f': {said}' if said else ''}"

    def stop(self) -> None:
        """End both at once."""
        pids = self._processes()
        self._emulator.stop()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._ends.close()
        for descriptor in self._watched:
            os.close(descriptor)
        self._watched.clear()

    def duration_ms(self) -> float:
        """What is billed for the call that has just been answered; with the first one, the initialisation."""
        report = self._emulator.report()
        total, self.init_ms = self.init_ms + report.init_ms + report.duration_ms, 0.0
        return total

    def durations_ms(self) -> list[float]:
        """The same for each call that has been answered since this was last asked."""
        found = []
        for report in self._emulator.reports():
            found.append(self.init_ms + report.init_ms + report.duration_ms)
            self.init_ms = 0.0
        return found

    def _watch(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            descriptor = os.pidfd_open(pid)
            self._watched.append(descriptor)
            self._ends.register(descriptor, select.EPOLLIN)

    def _processes(self) -> set[int]:
        """The function's, without the emulator's."""
        if self._cgroup is not None:
            return self._cgroup.pids()
        found = set()
        for pid in process_tree(self._emulator.pid):
            with suppress(OSError):
                if Path(f"/proc/{pid}/cmdline").read_bytes() == self._cmdline:
                    found.add(pid)
        return found

    def _asked(self, timeout_s: float) -> bytes:
        head = (
            f"POST {PATH}function/invocations HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n"
            f"Content-Length: {len(_UNLIKE)}\r\n\r\n"
        )
        with socket.create_connection(self._emulator.address, timeout_s) as connection:
            connection.sendall(head.encode() + _UNLIKE)
            pieces = []
            while piece := connection.recv(1 << 16):
                pieces.append(piece)
        return b"".join(pieces).partition(b"\r\n\r\n")[2]
