"""A function of the local platform: one worker, one call at a time, started again when it dies."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from mopar.limits import Cgroup
from mopar.platforms.local.arena import Arena
from mopar.platforms.local.process import WorkerSpec
from mopar.platforms.local.segments import live_segments
from mopar.platforms.local.supervisor import Supervisor
from mopar.platforms.local.worker import WorkerConnection, WorkerProcess
from mopar.platforms.turns import Turns, loop_time, twice
from mopar.runtime import frames
from mopar.runtime.frames import TensorRef
from mopar.runtime.sequence import ENDED, REFUSED, unpack_sequence_done
from mopar.types import DeploymentError, PlatformError, RequestError

_GRACE_S = 0.05
"""At a sequence's deadline a worker stops waiting by itself; it is replaced if it has not answered this much later."""


@dataclass(frozen=True, slots=True)
class CallResult:
    """Result of a call: places of the outputs of unknown size, in the graph's order, and its time."""

    placed: tuple[TensorRef, ...]
    held_ns: int
    compute_ns: int
    attempts: int


@dataclass(frozen=True, slots=True)
class SequenceResult:
    """Result of a sequence: held, compute and waiting time of each run that ended, in ns, and whether all did.

    A run that ended before its worker died is not repeated; its time is lost, and 0 here.
    """

    times_ns: tuple[tuple[int, int, int], ...]
    complete: bool
    attempts: int


class LocalFunction(Supervisor[WorkerConnection]):
    """Supervises a worker process, and runs calls on it.

    Args:
        spec: what it runs.
        make_cgroup: a fresh cgroup with the function's limits for each start; None for no limits.
        on_restart: called with the function's name each time a worker is restarted.
        memory_mib: the limit that ``make_cgroup`` sets, for messages.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        make_cgroup: Callable[[], Cgroup] | None = None,
        on_restart: Callable[[str], None] = lambda _name: None,
        memory_mib: int | None = None,
    ) -> None:
        super().__init__(spec.function, make_cgroup, on_restart, memory_mib)
        self.spec = spec
        self.turns = Turns(spec.function)
        self._reply: asyncio.Future[memoryview] | None = None

    def _launched(self, cgroup: Cgroup | None) -> WorkerConnection:
        return WorkerProcess(self.spec, cgroup)

    async def call(self, frame: bytes, arena: Arena, deadline: float) -> CallResult:
        """Run a graph on tensors of ``arena``; if the worker dies during it, it is tried once more.

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
        async with self.turns.take(deadline):
            (outputs, held_ns, compute_ns), attempts = await twice(lambda: self._run(frame, arena, deadline))
        return CallResult(outputs, held_ns, compute_ns, attempts)

    async def sequence(self, frame: bytes, arena: Arena, deadline: float) -> SequenceResult:
        """Run several graphs, some of which wait for other functions; the caller must be inside ``turns.take``.

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
        (times_ns, complete), attempts = await twice(lambda: self._run_sequence(frame, arena, deadline))
        return SequenceResult(times_ns, complete, attempts)

    async def _run(self, frame: bytes, arena: Arena, deadline: float) -> tuple[tuple[TensorRef, ...], int, int]:
        await self.until_ready(deadline)
        worker = self._process
        assert worker is not None
        self._share(worker, arena)
        reply = await self._ask(worker, frame, deadline)
        held_ns, compute_ns, pending = frames.unpack_done(reply)
        placed = tuple(arena.place(ref.code, ref.shape, ref.nbytes) for ref in pending)
        if placed:
            self._share(worker, arena)
            reply = await self._ask(worker, frames.pack_fetch(placed), deadline)
            held_ns += frames.unpack_done(reply)[0]
        return placed, held_ns, compute_ns

    async def _run_sequence(
        self, frame: bytes, arena: Arena, deadline: float
    ) -> tuple[tuple[tuple[int, int, int], ...], bool]:
        await self.until_ready(deadline)
        worker = self._process
        assert worker is not None
        self._share(worker, arena)
        reply = await self._ask(worker, frame, deadline + _GRACE_S)
        outcome, times_ns, text = unpack_sequence_done(reply)
        if outcome == REFUSED:
            raise _refused(text)
        return tuple(times_ns), outcome == ENDED

    def _share(self, worker: WorkerConnection, arena: Arena) -> None:
        try:
            for number in worker.attached - live_segments():
                worker.detach(number)
            for segment in arena.segments:
                worker.attach(segment)
        except OSError as cause:
            self._died(worker)
            raise PlatformError(f"function {self.spec.function} {self._why_down}") from cause

    async def _ask(self, worker: WorkerConnection, frame: bytes, deadline: float) -> memoryview:
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[memoryview] = loop.create_future()
        self._reply = reply
        timer = loop.call_at(loop_time(deadline), self._late, worker)
        try:
            worker.socket.send(frame)
            return await reply
        except OSError as cause:
            self._reply = None
            self._died(worker)
            raise PlatformError(f"function {self.spec.function} {self._why_down}") from cause
        except asyncio.CancelledError:
            # The next call would take this one's answer for its own.
            self._died(worker, "was stopped in the middle of a call")
            raise
        finally:
            timer.cancel()
            self._reply = None

    def _heard(self, process: WorkerConnection) -> None:
        try:
            data = process.socket.recv(frames.MAX_FRAME)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._died(process)
        elif self._reply is not None and not self._reply.done():
            if frames.kind_of(data) == frames.FAILED:
                text, refused = frames.unpack_failed(memoryview(data))
                self._reply.set_exception(_refused(text) if refused else self._failed(text))
            else:
                self._reply.set_result(memoryview(data))

    def _failed(self, text: str) -> DeploymentError:
        return DeploymentError(f"function {self.spec.function} failed: {' '.join(text.split())}")

    def _late(self, worker: WorkerConnection) -> None:
        """The deadline passed during a call: the worker cannot be interrupted, only replaced."""
        why = "did not answer before the deadline"
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(DeploymentError(f"function {self.spec.function} {why}"))
        self._died(worker, why)

    def _tell(self, error: PlatformError) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(error)


def _refused(text: str) -> RequestError:
    return RequestError(f"the model refused these inputs: {' '.join(text.split())}")
