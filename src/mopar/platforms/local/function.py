"""A function of the local platform: one worker, one call at a time, started again when it dies."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from mopar.limits import Cgroup
from mopar.platforms.local.arena import Arena
from mopar.platforms.local.process import WorkerProcess, WorkerSpec
from mopar.platforms.local.segments import live_segments
from mopar.runtime import frames
from mopar.runtime.frames import TensorRef
from mopar.runtime.sequence import ENDED, REFUSED, unpack_sequence_done
from mopar.types import (
    DeploymentError,
    MoparError,
    OutOfMemoryError,
    OverloadedError,
    PlatformError,
    RequestError,
)

_T = TypeVar("_T")
_LOAD_S = 120.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 10.0
_CALM_S = 30.0
"""A worker that lived this long is started again at once when it dies."""
_GRACE_S = 0.05
"""A worker that waits for others ends at the deadline by itself; one that has not answered then is replaced."""


@dataclass(frozen=True, slots=True)
class CallResult:
    """What a call gave: where the outputs went that had no place, in the graph's order, and its time."""

    placed: tuple[TensorRef, ...]
    busy_ns: int
    compute_ns: int
    attempts: int


@dataclass(frozen=True, slots=True)
class SequenceResult:
    """What a sequence came to: busy and compute time of each run that ended, in ns, and whether all did.

    A run that a worker had ended before it died is not run again, and its time is not known any more: 0.
    """

    times_ns: tuple[tuple[int, int], ...]
    complete: bool
    attempts: int


class LocalFunction:
    """Owner of a worker process.

    Args:
        spec: what it runs.
        make_cgroup: a fresh cgroup with the function's limits for each start; None for no limits.
        on_restart: told each time a worker has to be started again.
        memory_mib: the limit that ``make_cgroup`` sets, for messages.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        make_cgroup: Callable[[], Cgroup] | None = None,
        on_restart: Callable[[str], None] = lambda _name: None,
        memory_mib: int | None = None,
    ) -> None:
        self.spec = spec
        self._make_cgroup = make_cgroup
        self._on_restart = on_restart
        self._memory_mib = memory_mib
        self._worker: WorkerProcess | None = None
        self._cgroup: Cgroup | None = None
        self._turn = asyncio.Lock()
        self._calls = 0  # that have their turn or wait for it: the lock is free for a moment between two of them
        self._reply: asyncio.Future[memoryview] | None = None
        self._ready = asyncio.Event()
        self._reviving: asyncio.Task[None] | None = None
        self._closed = False
        self._born = 0.0
        self._why_down = "has not been started"

    @property
    def pid(self) -> int | None:
        """The worker's process number while it is up."""
        return self._worker.pid if self._worker is not None else None

    def ready(self) -> bool:
        """Whether a call would be answered now."""
        return self._ready.is_set() and not self._closed

    async def start(self) -> None:
        """Start the worker and wait until its graphs are loaded.

        Raises:
            EngineError: ONNX Runtime refused a graph.
            PlatformError: it did not come up.
        """
        self._cgroup = self._make_cgroup() if self._make_cgroup is not None else None
        try:
            worker = WorkerProcess(self.spec, self._cgroup)
            self._worker = worker
            await asyncio.to_thread(worker.load, _LOAD_S)
        except BaseException as error:
            starved = isinstance(error, PlatformError) and (self._out_of_memory() or self._too_slow(error))
            self._tear_down()
            if starved:
                raise PlatformError(f"function {self.spec.function} {starved}") from error
            raise
        worker.socket.setblocking(False)
        asyncio.get_running_loop().add_reader(worker.socket, self._readable, worker)
        self._born = time.monotonic()
        self._ready.set()

    async def call(self, frame: bytes, arena: Arena, deadline: float) -> CallResult:
        """Run a graph on tensors of ``arena``; a call that meets the worker's death is tried once more.

        Args:
            frame: RUN, with places in ``arena``; outputs at NOWHERE are placed there after the run.
            arena: the request's memory.
            deadline: on the clock of ``time.monotonic``.

        Raises:
            RequestError: the graph refused the inputs.
            OverloadedError: the deadline passed before the worker was free.
            OutOfMemoryError: the call took more memory than the function has.
            DeploymentError: the worker died twice, did not answer in time, or answered that it failed, or is being
                stopped.
        """
        async with self.turn(deadline):
            (outputs, busy_ns, compute_ns), attempts = await self._twice(self._run, frame, arena, deadline)
        return CallResult(outputs, busy_ns, compute_ns, attempts)

    async def sequence(self, frame: bytes, arena: Arena, deadline: float) -> SequenceResult:
        """Run several graphs, some of which wait for other functions; the caller must have this function's turn.

        Args:
            frame: RUN_SEQUENCE, with all tensors and flags in ``arena``.
            arena: the request's memory.
            deadline: on the clock of ``time.monotonic``; the same as in ``frame``.

        Returns:
            Not all runs where the flag ABORT was raised, or the deadline passed while one waited for others.

        Raises:
            RequestError: a graph refused its inputs.
            OverloadedError: the worker was down until the deadline.
            OutOfMemoryError: a run took more memory than the function has.
            DeploymentError: the worker died twice, did not answer in time, or is being stopped.
        """
        (times_ns, complete), attempts = await self._twice(self._run_sequence, frame, arena, deadline)
        return SequenceResult(times_ns, complete, attempts)

    async def _twice(
        self, run: Callable[[bytes, Arena, float], Awaitable[_T]], frame: bytes, arena: Arena, deadline: float
    ) -> tuple[_T, int]:
        """What ``run`` gave, and at which attempt: what meets the worker's death is tried once more."""
        for attempt in (1, 2):
            await self._until_ready(deadline)
            try:
                return await run(frame, arena, deadline), attempt
            except _StarvedError as error:
                raise OutOfMemoryError(f"{error}; not tried again") from error
            except PlatformError as error:
                if attempt == 2:
                    raise DeploymentError(f"{error}, twice in one request") from error
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Stop the worker and start no other. Calls that wait or run fail."""
        self._closed = True
        if self._reviving is not None:
            self._reviving.cancel()
            with contextlib.suppress(asyncio.CancelledError, MoparError):
                await self._reviving
        self._tear_down()
        self._fail("was stopped")
        self._ready.set()  # who waits for a start is told that there will be none

    @contextlib.asynccontextmanager
    async def turn(self, deadline: float) -> AsyncIterator[None]:
        """Be the only one to use the worker.

        Raises:
            OverloadedError: the deadline passed before it was free.
        """
        alone = self._calls == 0
        self._calls += 1
        try:
            if alone:
                await self._turn.acquire()  # at once: a timer would cost more than the lock
            else:
                await self._wait_for_turn(deadline)
            try:
                yield
            finally:
                self._turn.release()
        finally:
            self._calls -= 1

    async def _wait_for_turn(self, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(_loop_time(deadline)):
                await self._turn.acquire()
        except TimeoutError as cause:
            raise OverloadedError(f"function {self.spec.function} was busy until the deadline") from cause

    async def _until_ready(self, deadline: float) -> None:
        if self.ready():
            return
        try:
            async with asyncio.timeout_at(_loop_time(deadline)):
                while not self._ready.is_set():  # it may have died again since it was set
                    await self._ready.wait()
        except TimeoutError as cause:
            raise OverloadedError(f"function {self.spec.function} {self._why_down} and was not back in time") from cause
        if self._closed:
            raise DeploymentError(f"function {self.spec.function} was stopped")

    async def _run(self, frame: bytes, arena: Arena, deadline: float) -> tuple[tuple[TensorRef, ...], int, int]:
        worker = self._worker
        assert worker is not None
        self._share(worker, arena)
        reply = await self._ask(worker, frame, deadline)
        busy_ns, compute_ns, pending = frames.unpack_done(reply)
        placed = tuple(arena.place(ref.code, ref.shape, ref.nbytes) for ref in pending)
        if placed:
            self._share(worker, arena)
            reply = await self._ask(worker, frames.pack_fetch(placed), deadline)
            busy_ns += frames.unpack_done(reply)[0]
        return placed, busy_ns, compute_ns

    async def _run_sequence(
        self, frame: bytes, arena: Arena, deadline: float
    ) -> tuple[tuple[tuple[int, int], ...], bool]:
        worker = self._worker
        assert worker is not None
        self._share(worker, arena)
        reply = await self._ask(worker, frame, deadline + _GRACE_S)
        outcome, times_ns, text = unpack_sequence_done(reply)
        if outcome == REFUSED:
            raise _refused(text)
        return tuple(times_ns), outcome == ENDED

    def _share(self, worker: WorkerProcess, arena: Arena) -> None:
        try:
            for number in worker.attached - live_segments():
                worker.detach(number)
            for segment in arena.segments:
                worker.attach(segment)
        except OSError as cause:
            self._died(worker)
            raise PlatformError(f"function {self.spec.function} {self._why_down}") from cause

    async def _ask(self, worker: WorkerProcess, frame: bytes, deadline: float) -> memoryview:
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[memoryview] = loop.create_future()
        self._reply = reply
        timer = loop.call_at(_loop_time(deadline), self._late, worker)
        try:
            worker.socket.send(frame)
            return await reply
        except OSError as cause:
            self._reply = None
            self._died(worker)
            raise PlatformError(f"function {self.spec.function} {self._why_down}") from cause
        except asyncio.CancelledError:
            # Its answer would be taken for the next call's.
            self._died(worker, "was stopped in the middle of a call")
            raise
        finally:
            timer.cancel()
            self._reply = None

    def _readable(self, worker: WorkerProcess) -> None:
        try:
            data = worker.socket.recv(frames.MAX_FRAME)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._died(worker)
        elif self._reply is not None and not self._reply.done():
            if frames.kind_of(data) == frames.FAILED:
                text, refused = frames.unpack_failed(memoryview(data))
                self._reply.set_exception(_refused(text) if refused else self._failed(text))
            else:
                self._reply.set_result(memoryview(data))

    def _failed(self, text: str) -> DeploymentError:
        return DeploymentError(f"function {self.spec.function} failed: {' '.join(text.split())}")

    def _late(self, worker: WorkerProcess) -> None:
        """The deadline passed during a call: the worker cannot be interrupted, only replaced."""
        why = "did not answer before the deadline"
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(DeploymentError(f"function {self.spec.function} {why}"))
        self._died(worker, why)

    def _died(self, worker: WorkerProcess, why: str | None = None) -> None:
        """Replace a worker that ended, or that has to end because of ``why``."""
        if worker is not self._worker:
            return
        starved = "" if why else self._out_of_memory()
        self._why_down = why or starved or worker.exit_reason()
        self._tear_down()
        self._fail(self._why_down, _StarvedError if starved else PlatformError)
        if not self._closed:
            self._on_restart(self.spec.function)
            self._reviving = asyncio.get_running_loop().create_task(self._revive())

    def _fail(self, why: str, error: type[PlatformError] = PlatformError) -> None:
        """Tell the call in flight, if there is one."""
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(error(f"function {self.spec.function} {why}"))

    def _out_of_memory(self) -> str:
        """What to say where the kernel killed it for want of memory; empty where it did not, or cannot be asked."""
        try:
            killed = self._cgroup is not None and self._cgroup.oom_kills() > 0
        except PlatformError:  # no file can be opened, or the group is gone: whoever died is torn down all the same
            return ""
        if not killed:
            return ""
        limit = "" if self._memory_mib is None else f" of {self._memory_mib} MiB"
        return f"ran out of memory at its limit{limit} and was killed"

    def _too_slow(self, error: PlatformError) -> str:
        """What to say of a load that took too long under a limit; empty of any other failure."""
        if self._memory_mib is None or not isinstance(error.__cause__, TimeoutError):
            return ""
        return f"did not load within {_LOAD_S:g} s: its limit of {self._memory_mib} MiB is too small, or the disk slow"

    async def _revive(self) -> None:
        pause_s = 0.0 if time.monotonic() - self._born > _CALM_S else _FIRST_PAUSE_S
        while not self._closed:
            await asyncio.sleep(pause_s)
            try:
                await self.start()
                return
            except (MoparError, OSError) as error:
                self._why_down = f"cannot be started again: {error}"
                pause_s = min(max(2 * pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)

    def _tear_down(self) -> None:
        self._ready.clear()
        worker, self._worker = self._worker, None
        if worker is not None:
            with contextlib.suppress(ValueError, RuntimeError):
                asyncio.get_running_loop().remove_reader(worker.socket)
            worker.stop()
        cgroup, self._cgroup = self._cgroup, None
        if cgroup is not None:
            with contextlib.suppress(PlatformError):  # the next deployment sweeps what is left
                cgroup.remove()


class _StarvedError(PlatformError):
    """The worker died in a call that took more memory than its limit."""


def _refused(text: str) -> RequestError:
    return RequestError(f"the model refused these inputs: {' '.join(text.split())}")


def _loop_time(deadline: float) -> float:
    return asyncio.get_running_loop().time() + deadline - time.monotonic()
