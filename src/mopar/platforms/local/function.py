"""A function of the local platform: one worker, one call at a time, started again when it dies."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from mopar.limits import Cgroup
from mopar.platforms.base import MisforeseenError
from mopar.platforms.local.arena import Arena
from mopar.platforms.local.process import WorkerSpec
from mopar.platforms.local.supervisor import Supervisor
from mopar.platforms.local.worker import WorkerConnection, WorkerProcess
from mopar.platforms.turns import Turns, loop_time, twice
from mopar.runtime import frames
from mopar.runtime.frames import TensorRef
from mopar.runtime.sequence import REFUSED, unpack_sequence_done
from mopar.segments import live_segments
from mopar.types import DeploymentError, PlatformError, RequestError

_GRACE_S = 0.05
"""At a sequence's deadline a worker stops waiting by itself; it is replaced if it has not answered this much later."""

_NUMBERS = 1 << 32
"""Of frames."""


@dataclass(frozen=True, slots=True)
class CallResult:
    """Result of a call: places of the outputs that had none, in the graph's order, and its time."""

    placed: tuple[TensorRef, ...]
    held_ns: int
    compute_ns: int
    attempts: int


@dataclass(frozen=True, slots=True)
class SequenceResult:
    """Result of a sequence: held, compute and waiting time of each run that ended, in ns, and how it ended.

    A run that ended before its worker died is not repeated; its time is lost, and 0 here.
    """

    times_ns: tuple[tuple[int, int, int], ...]
    outcome: int
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
        self.turns = Turns(f"function {spec.function}")
        self._reply: asyncio.Future[memoryview] | None = None
        self._expected = 0

    def _launched(self, cgroup: Cgroup | None) -> WorkerConnection:
        return WorkerProcess(self.spec, cgroup)

    def free(self) -> bool:
        """Whether a call could run at once."""
        return self.turns.free and self.ready()

    async def call(self, frame: bytes, arena: Arena, deadline: float, tried: int = 0) -> CallResult:
        """Run a graph on tensors of ``arena``; if the worker dies during it, it is tried once more.

        Args:
            frame: RUN, with places in ``arena``; outputs at NOWHERE are placed there after the run.
            arena: the request's memory.
            deadline: on the clock of ``time.monotonic``.
            tried: how often the worker died during it before.

        Raises:
            RequestError: the graph refused the inputs.
            OverloadedError: the deadline passed before the worker was free.
            OutOfMemoryError: the call took more memory than the function has.
            DeploymentError: the worker died twice, did not answer in time, or answered that it failed, or is being
                stopped.
            MisforeseenError: an output is not as foreseen.
        """
        async with self.turns.take(deadline):
            (outputs, held_ns, compute_ns), attempts = await twice(lambda: self._run(frame, arena, deadline), tried)
        return CallResult(outputs, held_ns, compute_ns, attempts)

    async def sequence(self, frame: bytes, arena: Arena, deadline: float) -> SequenceResult:
        """Run several graphs, some of which wait for other functions; the caller must be inside ``turns.take``.

        Args:
            frame: RUN_SEQUENCE, with all tensors and flags in ``arena``.
            arena: the request's memory.
            deadline: on the clock of ``time.monotonic``; the same as in ``frame``.

        Returns:
            Not all runs where the flag ABORT was raised, the deadline passed while one waited for others, or an output
            is not as foreseen.

        Raises:
            RequestError: a graph refused its inputs.
            OverloadedError: the worker was down until the deadline.
            OutOfMemoryError: a run took more memory than the function has.
            DeploymentError: the worker died twice, did not answer in time, or is being stopped.
        """
        (times_ns, outcome), attempts = await twice(lambda: self._run_sequence(frame, arena, deadline))
        return SequenceResult(times_ns, outcome, attempts)

    def introduce(self, worker: WorkerConnection, number: int, peer: WorkerConnection) -> None:
        """Let the worker send frames to another function's. Raises PlatformError: it has died."""
        try:
            worker.introduce(number, peer)
        except OSError as cause:
            self._died(worker)
            raise PlatformError(f"function {self.spec.function} {self._why_down}") from cause

    def shared(self, arena: Arena) -> WorkerConnection:
        """The worker, which has the arena's segments; it must be up. Raises PlatformError: it has died."""
        worker = self._process
        assert worker is not None
        self._share(worker, arena)
        return worker

    def expect(self) -> asyncio.Future[memoryview]:
        """What the worker answers next, or the error that it fails with; the caller must be inside a turn."""
        self._expected = (self._expected + 1) % _NUMBERS
        self._reply = asyncio.get_running_loop().create_future()
        return self._reply

    def expect_no_more(self, reply: asyncio.Future[memoryview]) -> None:
        """Nothing more is waited for."""
        if self._reply is reply:
            self._reply = None
        if reply.done() and not reply.cancelled():
            reply.exception()  # marks it as retrieved

    def send(self, worker: WorkerConnection, frame: bytes) -> None:
        """Send a frame; where that fails, the worker is replaced, and who expects its answer hears of it."""
        try:
            worker.socket.send(frame)
        except OSError:
            self._died(worker)

    def ping(self, worker: WorkerConnection) -> None:
        """Have PONG be the expected answer, unless the worker has another one to give before."""
        if self._reply is not None and not self._reply.done():
            self.send(worker, frames.pack_number(frames.PING, self._expected))

    def replace(self, worker: WorkerConnection, why: str) -> None:
        """End the worker, if it is still the function's, and start another one; who expects its answer hears why."""
        self._died(worker, why)

    async def _run(self, frame: bytes, arena: Arena, deadline: float) -> tuple[tuple[TensorRef, ...], int, int]:
        await self.until_ready(deadline)
        worker = self.shared(arena)
        reply = await self._ask(worker, frame, deadline)
        held_ns, compute_ns, pending = frames.unpack_done(reply)
        if frames.misfits(reply):
            raise MisforeseenError
        placed = tuple(arena.place(ref.code, ref.shape, ref.nbytes) for ref in pending)
        if placed:
            self._share(worker, arena)
            reply = await self._ask(worker, frames.pack_fetch(placed), deadline)
            held_ns += frames.unpack_done(reply)[0]
        return placed, held_ns, compute_ns

    async def _run_sequence(
        self, frame: bytes, arena: Arena, deadline: float
    ) -> tuple[tuple[tuple[int, int, int], ...], int]:
        await self.until_ready(deadline)
        worker = self.shared(arena)
        reply = await self._ask(worker, frame, deadline + _GRACE_S)
        outcome, times_ns, text = unpack_sequence_done(reply)
        if outcome == REFUSED:
            raise _refused(text)
        return tuple(times_ns), outcome

    def _share(self, worker: WorkerConnection, arena: Arena) -> None:
        try:
            for number in worker.attached - live_segments():
                worker.detach(number)
            for segment in arena.shared():
                worker.attach(segment)
        except OSError as cause:
            self._died(worker)
            raise PlatformError(f"function {self.spec.function} {self._why_down}") from cause

    async def _ask(self, worker: WorkerConnection, frame: bytes, deadline: float) -> memoryview:
        reply = self.expect()
        timer = asyncio.get_running_loop().call_at(loop_time(deadline), self._late, worker)
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
            self._answer(self._reply, memoryview(data))

    def _answer(self, reply: asyncio.Future[memoryview], data: memoryview) -> None:
        kind = frames.kind_of(data)
        if kind == frames.FAILED:
            text, refused = frames.unpack_failed(data)
            reply.set_exception(_refused(text) if refused else self._failed(text))
        elif kind != frames.PONG or frames.number_of(data) == self._expected:  # an answer had come before another one
            reply.set_result(data)

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
