"""Runs the plan's calls for each request; a call starts as soon as its inputs exist."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

from mopar.bundle.call_plans import CallPlan, Made, call_plans
from mopar.bundle.sent_codecs import lossy_parameters
from mopar.gateway.backend import NOWHERE
from mopar.gateway.budget import MemoryBudget
from mopar.gateway.check import check_ranges, check_values
from mopar.gateway.footprint import Footprint
from mopar.gateway.options import DEFAULT_QUEUE
from mopar.gateway.schedule import Schedule, Unit
from mopar.gateway.starving import Starving
from mopar.platforms.base import CallTiming, MisforeseenError, OpenRequest, Transport
from mopar.segments import Place
from mopar.types import (
    REQUEST,
    Manifest,
    OutOfMemoryError,
    OverloadedError,
    RequestError,
    TensorSpec,
    TensorValue,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A request's outputs, as views of the transport's memory, valid inside the context of ``Executor.infer``."""

    outputs: Sequence[TensorValue]
    timings: Sequence[CallTiming]

    @property
    def server_timing(self) -> str:
        """For each call, the function's held time and the parts of it in the engine and waiting for others, in ms.

        Where a platform bills it, also what is billed, and the price of the request in dollars.
        """
        entries = [
            f"{timing.function}{part};dur={ns / 1e6:.4f}"
            for timing in self.timings
            for part, ns in (("", timing.held_ns), ("-engine", timing.compute_ns), ("-waiting", timing.waiting_ns))
            if ns or not part
        ]
        bills = [
            item
            for timing in self.timings
            if timing.bill is not None
            for item in ((timing.function, timing.bill), *timing.bill.inner)
        ]
        entries += [f"{function}-billed;dur={bill.ms:g}" for function, bill in bills]
        if bills:
            entries.append(f'cost;desc="{sum(bill.usd for _, bill in bills):.9f} USD"')
        return ", ".join(entries)


class Executor:
    """The gateway's backend for one bundle.

    Args:
        manifest: of the bundle.
        transport: to its functions; closed with the executor.
        concurrency: requests in flight at once; by default one more than there are functions, so
            that every function can be busy while a further request is received.
        queue: further requests that may wait.
        budget: bounds the memory of requests, the same object as the transport's; None for no bound.
        limited: whether the functions run under the plan's limits, so that requests which cannot fit are refused.
        observe: called with the timing of every call.
    """

    def __init__(
        self,
        manifest: Manifest,
        transport: Transport,
        *,
        name: str | None = None,
        concurrency: int | None = None,
        queue: int = DEFAULT_QUEUE,
        budget: MemoryBudget | None = None,
        limited: bool = False,
        observe: Callable[[CallTiming], None] = lambda _timing: None,
    ) -> None:
        self.name = name or manifest.name
        self.inputs: tuple[TensorSpec, ...] = manifest.inputs
        self.outputs: tuple[TensorSpec, ...] = manifest.outputs
        self.parameters = lossy_parameters(manifest.plan)
        self._transport = transport
        self._ranges = manifest.plan.ranges
        plans = call_plans(manifest, limited=limited)
        schedule = Schedule.of(plans) if transport.runs_groups else Schedule.one_by_one(plans)
        self._schedule = schedule.chained(plans) if transport.runs_chains else schedule
        self._footprint = Footprint(plans)
        self._budget, self._starving = budget, Starving()
        self._makers = dict(manifest.plan.outputs)
        self._dtypes = {spec.name: spec.dtype for spec in manifest.outputs}
        self._observe = observe
        self._queue = queue
        self._waiting = 0
        self._slots = asyncio.Semaphore(concurrency or len(manifest.plan.functions) + 1)
        self._stragglers: set[asyncio.Task[None]] = set()

    @property
    def maps_clients_memory(self) -> bool:
        """Whether functions can use memory that clients share."""
        return self._transport.maps_clients_memory

    def ready(self) -> bool:
        """Whether every function would answer now."""
        return self._transport.ready()

    @contextlib.asynccontextmanager
    async def infer(
        self,
        inputs: Mapping[str, TensorValue],
        outputs: Sequence[str] | None,
        deadline_s: float,
        homes: Mapping[str, Place] = NOWHERE,
    ) -> AsyncIterator[Answer]:
        """Answer one request; its outputs stay valid inside the ``async with`` block.

        Args:
            inputs: one value for each input of the model.
            outputs: names of the outputs wanted; None for all.
            deadline_s: seconds from now.
            homes: output -> place in the client's memory where it is to be made, if the transport can.

        Raises:
            RequestError: inputs do not fit the model.
            OverloadedError: too many requests wait, or the deadline passed while waiting.
            OutOfMemoryError: a function has too little memory for a request of these sizes.
            DeploymentError: a function failed twice, or did not answer in time.
        """
        wanted = self._wanted(outputs)
        check_values(self.inputs, inputs)
        check_ranges(self._ranges, inputs)
        self._starving.check(inputs)
        needed = self._footprint.bytes_of(inputs)
        if self._budget is not None:
            self._budget.check(needed)
        deadline = time.monotonic() + deadline_s
        await self._take_slot(deadline)
        running: _Running | None = None
        try:
            running = self._start(inputs, needed, homes, deadline)
            if not await self._ran_as_foreseen(running, inputs):
                misforeseen, running = running, None
                self._close(misforeseen.request)
                running = self._start(inputs, needed, homes, deadline, foresee=False)
                await self._ran_as_foreseen(running, inputs)
            request = running.request
            yield Answer([request.value(*item) for item in wanted], request.timings)
        finally:
            if running is None:
                self._slots.release()
            else:
                self._leave(running)

    async def close(self) -> None:
        """Wait for the running calls of cancelled requests, then release the memory."""
        while self._stragglers:
            await asyncio.wait(self._stragglers)
        await self._transport.close()

    def _wanted(self, outputs: Sequence[str] | None) -> list[tuple[str, str, Made]]:
        names = [spec.name for spec in self.outputs] if outputs is None else outputs
        for name in names:
            if name not in self._dtypes:
                raise RequestError(f"the model has no output {name}: it has {', '.join(self._dtypes)}")
        return [(name, self._dtypes[name], (name, self._makers[name])) for name in names]

    def _made_at(self, homes: Mapping[str, Place]) -> Mapping[Made, Place]:
        """The places by what is made there; outputs that are inputs are made nowhere."""
        return {(name, self._makers[name]): home for name, home in homes.items() if self._makers[name] != REQUEST}

    def _start(
        self,
        inputs: Mapping[str, TensorValue],
        needed: int,
        homes: Mapping[str, Place],
        deadline: float,
        *,
        foresee: bool = True,
    ) -> "_Running":
        request = self._transport.open(inputs, needed, self._made_at(homes), foresee=foresee)
        return _Running(request, asyncio.ensure_future(self._follow(request, self._schedule, deadline)))

    async def _ran_as_foreseen(self, running: "_Running", inputs: Mapping[str, TensorValue]) -> bool:
        """Wait for the calls; False where they have ended, but are to be run again with nothing foreseen.

        Refusals may be due to what was foreseen too: sizes that do not fit together, or too much memory.
        """
        try:
            await asyncio.shield(running.task)
        except OutOfMemoryError as error:
            self._starving.note(inputs, str(error))
            raise
        except (MisforeseenError, OverloadedError, RequestError):
            if not running.request.foresees:
                raise
            return False
        return True

    async def _take_slot(self, deadline: float) -> None:
        if self._slots.locked() and self._waiting >= self._queue:
            raise OverloadedError(f"{self._waiting} requests are waiting already: try again later")
        self._waiting += 1
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                await self._slots.acquire()
        except TimeoutError as cause:
            raise OverloadedError("the deadline passed while the request waited for its turn") from cause
        finally:
            self._waiting -= 1

    async def _follow(self, request: OpenRequest, schedule: Schedule, deadline: float) -> None:
        """Run all units of a schedule, each as soon as those that it waits for have ended."""
        missing = dict(schedule.awaited)
        branches: list[asyncio.Task[None]] = []

        async def follow(units: Sequence[Unit]) -> None:
            """Run the first unit, then what it makes ready; every further unit is followed in a task of its own."""
            while units and not request.abandoned:
                branches.extend(asyncio.create_task(follow([unit])) for unit in units[1:])
                dependents = schedule.dependents[units[0]]
                try:
                    await self._run(request, units[0], dependents, deadline)
                except BaseException:  # a cancellation too
                    request.abandon()  # running calls still use the request's memory; no others start
                    raise
                for dependent in dependents:
                    missing[dependent] -= 1
                units = [unit for unit in dependents if missing[unit] == 0]

        outcomes: list[BaseException | None] = []
        try:
            await follow([unit for unit, count in missing.items() if count == 0])
        finally:  # after an error too: other branches use the request's memory until they end
            for branch in branches:  # the list grows while it is iterated
                outcomes += await asyncio.gather(branch, return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _run(self, request: OpenRequest, unit: Unit, dependents: Sequence[Unit], deadline: float) -> None:
        upcoming = [plan for dependent in dependents for plan in dependent.calls]
        if unit.singly is None:
            await _run_in_order(request, unit, upcoming, deadline)
        elif not await request.run_group(unit.calls, unit.waits, upcoming, deadline):
            await self._follow(request, unit.singly, deadline)

    def _leave(self, running: "_Running") -> None:
        """Nobody waits for the request any more, nor reads its outputs."""
        if running.task.done():
            self._ended(running)
        else:
            # Cancelled: functions may still use the request's tensors, so tensors and slot are kept until then.
            running.request.abandon()
            self._stragglers.add(running.task)
            running.task.add_done_callback(lambda _task: self._ended(running))

    def _ended(self, running: "_Running") -> None:
        """Nothing uses the request's tensors any more."""
        self._stragglers.discard(running.task)
        if not running.task.cancelled():
            running.task.exception()  # marks it as retrieved: the caller, unless it was cancelled, has received it
        self._close(running.request)
        self._slots.release()

    def _close(self, request: OpenRequest) -> None:
        for timing in request.timings:
            self._observe(timing)
        request.close()


@dataclass(frozen=True, slots=True)
class _Running:
    """A request in flight, and what runs its calls."""

    request: OpenRequest
    task: asyncio.Task[None]


async def _run_in_order(request: OpenRequest, unit: Unit, upcoming: Sequence[CallPlan], deadline: float) -> None:
    """Run one call, or a chain: as many at once as the transport can, and others one by one."""
    ended = 0
    while ended < len(unit.calls) and not request.abandoned:
        ran = await request.run_chain(unit.chains[ended], upcoming, deadline) if ended < len(unit.chains) else 0
        if ran == 0:
            await request.run(unit.calls[ended], unit.calls[ended + 1 : ended + 2] or upcoming, deadline)
            ran = 1
        ended += ran
