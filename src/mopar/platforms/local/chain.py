"""Calls that workers pass on to each other: what the gateway hears of them, and what follows where a worker dies.

A worker that ends a call sends the next frame to the next worker first, and then DONE to the gateway, which says
whether it was sent. Where a worker dies before its DONE, the next one is sent PING. It answers frames in order, so if
the frame had reached it, its answer to that comes first, and else PONG.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mopar.platforms.local.arena import Arena
from mopar.platforms.local.function import LocalFunction
from mopar.platforms.local.worker import WorkerConnection
from mopar.platforms.turns import StarvedError, loop_time
from mopar.runtime import frames
from mopar.types import DeploymentError, MoparError, OutOfMemoryError, PlatformError

_GRACE_S = 0.05
"""After the deadline, a worker that may have got a frame has so long to say that it has not."""


@dataclass(frozen=True, slots=True)
class _Link:
    """A function, its worker as the chain began, and what that answers. A later worker gets no frame of the chain."""

    function: LocalFunction
    worker: WorkerConnection
    reply: asyncio.Future[memoryview]


class Chain:
    """One run of a chain.

    Attributes:
        times_ns: held and compute time of each call that has ended, in order; 0 where they were lost with the worker.
        misfit: whether the next call has run too, and an output is not as foreseen.

    Args:
        functions: all free, in the chain's order.
        deadline: on the clock of ``time.monotonic``.
        abort: called at the deadline; has workers pass on nothing more.
    """

    def __init__(self, functions: Sequence[LocalFunction], deadline: float, abort: Callable[[], None]) -> None:
        self.times_ns: list[tuple[int, int]] = []
        self.misfit = False
        self._functions = functions
        self._deadline = deadline
        self._abort = abort
        self._links: list[_Link] = []
        self._asked = 0  # the link that is waited for
        self._late = ""
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, frame: bytes, peers: Sequence[int], arena: Arena) -> bool:
        """Run the calls; not all of them where a worker did not pass on, or an output is not as foreseen.

        Args:
            frame: the first function's.
            peers: the numbers by which it names the others.
            arena: the request's memory.

        Returns:
            Whether the worker of the call after the last that ended died during it; no later one has begun.

        Raises:
            RequestError: a graph refused its inputs.
            OutOfMemoryError: a call took more memory than its function has.
            DeploymentError: a function failed or did not answer in time.
        """
        try:
            workers = self._connected(peers, arena)
        except PlatformError:
            return False
        for function in self._functions:
            await function.turns.enter(self._deadline)  # at once, as all are free
        try:
            return await self._run(frame, workers)
        except asyncio.CancelledError:
            for link in self._links[len(self.times_ns) :]:
                link.function.replace(link.worker, "was stopped in the middle of a call")
            raise
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for link in self._links[len(self.times_ns) :]:
                link.function.expect_no_more(link.reply)
                link.function.turns.leave()

    def _connected(self, peers: Sequence[int], arena: Arena) -> list[WorkerConnection]:
        """The workers, which know each other and the request's memory. Raises PlatformError: one has died."""
        workers = [function.shared(arena) for function in self._functions]
        for place, number in enumerate(peers):
            self._functions[place].introduce(workers[place], number, workers[place + 1])
        return workers

    async def _run(self, frame: bytes, workers: Sequence[WorkerConnection]) -> bool:
        for function, worker in zip(self._functions, workers, strict=True):
            self._links.append(_Link(function, worker, function.expect()))
        self._functions[0].send(workers[0], frame)
        self._timer = asyncio.get_running_loop().call_at(loop_time(self._deadline), self._stop_asked)
        died: PlatformError | None = None
        try:
            await self._follow()
        except PlatformError as error:
            died = error
        if self._late:
            raise DeploymentError(self._late) from died
        if isinstance(died, StarvedError):
            raise OutOfMemoryError(f"{died}; not tried again") from died
        return died is not None

    async def _follow(self) -> None:
        """Wait until no worker has a call of the chain. Raises PlatformError: the one that was last has died."""
        passed = True
        while passed and len(self.times_ns) < len(self._links):
            self._asked = len(self.times_ns)
            try:
                reply = await self._links[self._asked].reply
            except PlatformError:
                begun = await self._begun_after(self._asked)
                if begun is None:
                    raise
                while len(self.times_ns) < begun:
                    self._end(0, 0)
                continue
            if frames.misfits(reply):
                self.misfit = True
                return
            held_ns, compute_ns, _ = frames.unpack_done(reply)
            self._end(held_ns, compute_ns)
            passed = frames.was_passed(reply)

    async def _begun_after(self, died: int) -> int | None:
        """The first later call whose worker lives, if it has begun: then all before it have ended."""
        for place in range(died + 1, len(self._links)):
            self._asked, link = place, self._links[place]
            link.function.ping(link.worker)
            try:
                reply = await link.reply
            except PlatformError:  # it has died too; the one after it knows
                continue
            except MoparError:  # it has failed, so it had begun
                return place
            return None if frames.kind_of(reply) == frames.PONG else place
        return None

    def _end(self, held_ns: int, compute_ns: int) -> None:
        link = self._links[len(self.times_ns)]
        self.times_ns.append((held_ns, compute_ns))
        link.function.expect_no_more(link.reply)
        link.function.turns.leave()

    def _stop_asked(self) -> None:
        """The deadline has passed: a run cannot be interrupted, only its worker replaced, and what it had passed on to.

        Repeated, since the next one that is waited for may run too.
        """
        self._abort()
        link = self._links[self._asked]
        why = "did not answer before the deadline"
        self._late = self._late or f"function {link.function.name} {why}"
        if not link.reply.done():
            link.function.replace(link.worker, why)
        self._timer = asyncio.get_running_loop().call_later(_GRACE_S, self._stop_asked)
