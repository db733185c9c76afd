"""Supervises a function's process: starts it under its limits, notices when it dies, and restarts it."""

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from mopar.limits import Cgroup
from mopar.platforms.turns import StarvedError, loop_time
from mopar.types import DeploymentError, MoparError, OverloadedError, PlatformError

_CALM_S = 30.0
"""A process that lived this long is started again at once when it dies."""


class Supervised(Protocol):
    """A function's process as its supervisor sees it, or a connection to one that somebody else restarts."""

    @property
    def pid(self) -> int:
        """The process's id; 0 for one of another container."""

    def load(self, timeout_s: float) -> None:
        """Wait until its graphs are loaded. Raises EngineError or PlatformError."""

    def fileno(self) -> int:
        """A descriptor that becomes readable when it ends, or sends something."""

    def exit_reason(self) -> str:
        """How it ended, as the end of a message."""

    def stop(self) -> None:
        """End it at once."""


_P = TypeVar("_P", bound=Supervised)


class Supervisor(ABC, Generic[_P]):
    """Supervises a function's process, whatever its transport.

    Args:
        name: of the function.
        make_cgroup: a fresh cgroup with the function's limits for each start; None for no limits.
        on_restart: called with its name each time it is restarted.
        memory_mib: the limit that ``make_cgroup`` sets, for messages.
    """

    load_s = 120.0
    """How long its graphs may take to load."""
    pauses_s = 0.1, 10.0
    """The shortest pause before it is started again, and the longest."""

    def __init__(
        self,
        name: str,
        make_cgroup: Callable[[], Cgroup] | None,
        on_restart: Callable[[str], None],
        memory_mib: int | None,
    ) -> None:
        self.name = name
        self._make_cgroup = make_cgroup
        self._on_restart = on_restart
        self._memory_mib = memory_mib
        self._process: _P | None = None
        self._cgroup: Cgroup | None = None
        self._ready = asyncio.Event()
        self._reviving: asyncio.Task[None] | None = None
        self._closed = False
        self._born = 0.0
        self._why_down = "has not been started"

    @abstractmethod
    def _launched(self, cgroup: Cgroup | None) -> _P:
        """A new process inside ``cgroup``."""

    @abstractmethod
    def _heard(self, process: _P) -> None:
        """Its descriptor has become readable."""

    @abstractmethod
    def _tell(self, error: PlatformError) -> None:
        """Fail the calls in flight, if there are any."""

    @property
    def pid(self) -> int | None:
        """The process's id while it is up."""
        return self._process.pid if self._process is not None else None

    def ready(self) -> bool:
        """Whether a call would be answered now."""
        return self._ready.is_set() and not self._closed

    async def start(self) -> None:
        """Start the process and wait until its graphs are loaded.

        Raises:
            EngineError: ONNX Runtime refused a graph.
            PlatformError: it did not come up.
        """
        self._cgroup = self._make_cgroup() if self._make_cgroup is not None else None
        try:
            process = self._launched(self._cgroup)
            self._process = process
            await asyncio.to_thread(process.load, self.load_s)
        except BaseException as error:
            starved = isinstance(error, PlatformError) and (self._out_of_memory() or self._too_slow(error))
            self._tear_down()
            if starved:
                raise PlatformError(f"function {self.name} {starved}") from error
            raise
        asyncio.get_running_loop().add_reader(process, self._heard, process)
        self._born = time.monotonic()
        self._ready.set()

    async def close(self) -> None:
        """Stop the process and start no other. Calls that wait or run fail."""
        self._closed = True
        if self._reviving is not None:
            self._reviving.cancel()
            with contextlib.suppress(asyncio.CancelledError, MoparError):
                await self._reviving
        self._tear_down()
        self._why_down = "was stopped"
        self._tell(PlatformError(f"function {self.name} {self._why_down}"))
        self._ready.set()  # wakes those that wait for a start

    async def until_ready(self, deadline: float) -> None:
        """Wait until the process is up.

        Raises:
            OverloadedError: it was not at the deadline.
            DeploymentError: it was stopped.
        """
        if self.ready():
            return
        try:
            async with asyncio.timeout_at(loop_time(deadline)):
                while not self._ready.is_set():  # it may have died again since it was set
                    await self._ready.wait()
        except TimeoutError as cause:
            raise OverloadedError(f"function {self.name} {self._why_down} and was not back in time") from cause
        if self._closed:
            raise DeploymentError(f"function {self.name} was stopped")

    def _died(self, process: _P, why: str | None = None) -> None:
        """Replace a process that ended, or that has to end because of ``why``."""
        if process is not self._process:
            return
        starved = "" if why else self._out_of_memory()
        self._why_down = why or starved or process.exit_reason()
        self._tear_down()
        self._tell((StarvedError if starved else PlatformError)(f"function {self.name} {self._why_down}"))
        if not self._closed:
            self._on_restart(self.name)
            self._reviving = asyncio.get_running_loop().create_task(self._revive())

    def _out_of_memory(self) -> str:
        """The reason where the kernel killed it for lack of memory; empty where it did not, or that is not known."""
        try:
            killed = self._cgroup is not None and self._cgroup.oom_kills() > 0
        except PlatformError:  # no file can be opened, or the group is gone: the process is torn down anyway
            return ""
        if not killed:
            return ""
        limit = "" if self._memory_mib is None else f" of {self._memory_mib} MiB"
        return f"ran out of memory at its limit{limit} and was killed"

    def _too_slow(self, error: PlatformError) -> str:
        """The reason where loading took too long under a limit; empty for any other failure."""
        if self._memory_mib is None or not isinstance(error.__cause__, TimeoutError):
            return ""
        return (
            f"did not load within {self.load_s:g} s: its limit of {self._memory_mib} MiB is too small, or the disk slow"
        )

    async def _revive(self) -> None:
        shortest_s, longest_s = self.pauses_s
        pause_s = 0.0 if time.monotonic() - self._born > _CALM_S else shortest_s
        while not self._closed:
            await asyncio.sleep(pause_s)
            try:
                await self.start()
                return
            except (MoparError, OSError) as error:
                self._why_down = f"cannot be started again: {error}"
                pause_s = min(max(2 * pause_s, shortest_s), longest_s)

    def _tear_down(self) -> None:
        self._ready.clear()
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ValueError, RuntimeError):
                asyncio.get_running_loop().remove_reader(process)
            process.stop()
        cgroup, self._cgroup = self._cgroup, None
        if cgroup is not None:
            with contextlib.suppress(PlatformError):  # the next deployment sweeps what is left
                cgroup.remove()
