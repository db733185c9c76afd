"""A function on Amazon's runtime interface emulator, under the limits that its memory buys. Blocking."""

import http.client
import math
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mopar.limits import Cgroup, Cgroups
from mopar.platforms.aws_lambda.emulator_process import EmulatorProcess, find_emulator
from mopar.platforms.aws_lambda.faults import fault_of
from mopar.platforms.aws_lambda.function_package import HANDLER, FunctionPackage
from mopar.platforms.aws_lambda.runtime_files import handler_command
from mopar.platforms.aws_lambda.target import lambda_python
from mopar.platforms.aws_lambda.unpacking import unpack
from mopar.runtime.aws_lambda.wire import MOST_BODY_BYTES
from mopar.types import DeploymentError, MoparError, OutOfMemoryError, PlatformError, RequestError

MIB_PER_VCPU = 1769.0
_INVOKE = "/2015-03-31/functions/function/invocations"
_MIB = 1 << 20
_SLACK_S = 15.0
"""How much longer than the function's time-out its client waits: the emulator kills it, and says so."""
_UNLIKE = b"{}"
"""A message that every function refuses once it is initialised."""


@dataclass(frozen=True, slots=True)
class Invoked:
    """An invocation that was answered.

    Attributes:
        body: of the answer.
        init_ms: of the function's initialisation, which Lambda bills; 0 where it was initialised before.
        duration_ms: of the invocation.
    """

    body: bytes
    init_ms: float
    duration_ms: float

    @property
    def billed_ms(self) -> int:
        """What Lambda bills: both together, rounded up to 1 ms."""
        return math.ceil(self.init_ms + self.duration_ms)


class EmulatedFunction:
    """One instance of a function, which answers one call at a time; others wait.

    It is started by its first call, and again by the first one after it failed.

    Args:
        package: what runs.
        folder: an empty one, for its files.
        cgroups: to limit it with; None for no limits.
        timeout_s: of an invocation, whole seconds.
        variables: of its environment, beside those of the package.
        emulator: the program; None for the one that is found.
        command: that runs it, by the folder of its files; ``handler_command`` by default.

    Raises:
        PlatformError: there is no emulator.
        StorageError: the package cannot be unpacked.
    """

    def __init__(
        self,
        package: FunctionPackage,
        folder: Path,
        cgroups: Cgroups | None,
        *,
        timeout_s: int = 30,
        variables: Mapping[str, str] | None = None,
        emulator: Path | None = None,
        command: Callable[[Path], list[str]] | None = None,
    ) -> None:
        self.package = package
        self._emulator = emulator or find_emulator()
        self._cgroups = cgroups
        self._timeout_s = timeout_s
        self._root, self._temporary = folder / "task", folder / "tmp"
        self._temporary.mkdir(parents=True)
        unpack(package, self._root)
        self._command = command or partial(own_command, module=package.module)
        self._variables = instance_environment(package, self._temporary, timeout_s) | dict(variables or {})
        self._lock = threading.Lock()
        self._process: EmulatorProcess | None = None
        self._cgroup: Cgroup | None = None

    @property
    def cgroup(self) -> Cgroup | None:
        """That the function runs in; None where it does not run, or without limits."""
        return self._cgroup

    def start(self) -> float:
        """Have it initialised, if it is not; returns the time that took in ms. Raises as ``invoke``."""
        return self.invoke(_UNLIKE).init_ms

    def invoke(self, body: bytes) -> Invoked:
        """Call the function.

        Args:
            body: the message.

        Raises:
            RequestError: the message is too large (413).
            OutOfMemoryError: the function was killed for want of memory.
            PlatformError: it could not be started or initialised.
            DeploymentError: it died, took too long or answered with too much.
        """
        if len(body) > MOST_BODY_BYTES:
            raise RequestError(
                f"{self._name}: a message of {len(body)} bytes, where Lambda takes {MOST_BODY_BYTES}", 413
            )
        with self._lock:
            process = self._running()
            kills = self._oom_kills()
            try:
                answer = self._post(process, body)
                fault = fault_of(answer)
                if fault is None:
                    report = process.report()
                    return Invoked(answer, report.init_ms, report.duration_ms)
            except (OSError, http.client.HTTPException) as cause:
                error = self._reason(
                    process, kills, f"the emulator does not answer: {str(cause) or type(cause).__name__}"
                )
                self._end()
                raise error from cause
            except MoparError:
                self._end()
                raise
            error = self._reason(process, kills, fault)
            self._end()  # the emulator would keep what the dead function had
            raise error

    def stop(self) -> None:
        """End it, with all that it started."""
        with self._lock:
            self._end()

    def kill(self) -> None:
        """Kill its process, as Lambda may between two calls; the next call starts another."""
        if self._cgroup is not None:
            self._cgroup.kill_all()

    @property
    def _name(self) -> str:
        return f"function {self.package.function}"

    def _running(self) -> EmulatorProcess:
        if self._process is not None and not self._process.alive():
            self._end()
        if self._process is None:
            command = self._command(self._root)
            try:
                if self._cgroups is not None:
                    self._cgroup = self._limited(self._cgroups)
                    command = self._cgroup.join_command(command)
                self._process = EmulatorProcess(self._emulator, command, self._variables, self._root)
            except PlatformError as cause:
                self._end()
                raise PlatformError(f"{self._name} cannot be started: {cause}") from cause
        return self._process

    def _limited(self, cgroups: Cgroups) -> Cgroup:
        group = cgroups.create(f"lambda-{self.package.function}"[:64])
        group.limit(self.package.memory_mib * _MIB, self.package.memory_mib / MIB_PER_VCPU)
        return group

    def _post(self, process: EmulatorProcess, body: bytes) -> bytes:
        connection = http.client.HTTPConnection(*process.address, timeout=self._timeout_s + _SLACK_S)
        try:
            connection.request("POST", _INVOKE, body)
            return connection.getresponse().read()
        finally:
            connection.close()

    def _oom_kills(self) -> int:
        return 0 if self._cgroup is None else self._cgroup.oom_kills()

    def _reason(self, process: EmulatorProcess, kills: int, fault: str) -> MoparError:
        """The error that says why there is no answer."""
        if self._oom_kills() > kills:
            return OutOfMemoryError(
                f"{self._name} was killed: it needs more memory than its {self.package.memory_mib} MiB"
            )
        if "timed out" in fault:
            return DeploymentError(f"{self._name} was ended after {self._timeout_s} s, its time-out")
        said = process.last_said()
        if said.startswith("failed: "):
            return PlatformError(f"{self._name} cannot be initialised: {said.removeprefix('failed: ')}")
        return DeploymentError(f"{self._name} died: {fault or 'no reason given'}{f' ({said})' if said else ''}")

    def _end(self) -> None:
        if self._process is not None:
            self._process.stop()
        self._process = None
        if self._cgroup is not None:
            self._cgroup.remove()
        self._cgroup = None


def instance_environment(package: FunctionPackage, temporary: Path, timeout_s: int) -> dict[str, str]:
    """The environment of an emulated function.

    Args:
        package: of the function.
        temporary: a folder that it may write to.
        timeout_s: of an invocation.
    """
    own = {name: value for name, value in package.environment.items() if name != "AWS_LAMBDA_EXEC_WRAPPER"}
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        **own,
        "TMPDIR": str(temporary),
        "AWS_REGION": "us-east-1",
        "AWS_LAMBDA_FUNCTION_NAME": package.function,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(package.memory_mib),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout_s),
    }


def own_command(root: Path, module: str = HANDLER) -> list[str]:
    """By a Python of Lambda's version, or else by this one."""
    return handler_command(lambda_python() or sys.executable, str(root), module)
