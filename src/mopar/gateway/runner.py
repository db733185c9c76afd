"""Runs the plan for each request: calls start as soon as what they need is there."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

from mopar.gateway.budget import MemoryBudget
from mopar.gateway.footprint import Footprint
from mopar.gateway.groups import Schedule, Unit
from mopar.gateway.layout import check_ranges, check_values
from mopar.gateway.options import DEFAULT_QUEUE
from mopar.gateway.request import RequestState, Timing, call_plans
from mopar.gateway.starving import Starving
from mopar.platforms.local import Arena, LocalFunction, SequenceResult
from mopar.types import (
    DeploymentError,
    Manifest,
    OutOfMemoryError,
    OverloadedError,
    RequestError,
    TensorSpec,
    TensorValue,
)

_IDLE_S = 10.0
"""Memory that no request has used for so long is given back."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A request's outputs, as views of shared memory that is kept until the answer is let go."""

    outputs: Sequence[TensorValue]
    timings: Sequence[Timing]

    @property
    def server_timing(self) -> str:
        """Per call: what the function was busy (billed), and what of it the engine ran, in ms."""
        return ", ".join(
            f"{name};dur={ns / 1e6:.4f}"
            for timing in self.timings
            for name, ns in ((timing.function, timing.busy_ns), (f"{timing.function}-engine", timing.compute_ns))
        )


class Runner:
    """The gateway's backend for one bundle.

    Args:
        manifest: of the bundle.
        functions: by name.
        concurrency: requests on their way at once; by default one more than there are functions, so
            that every function can be busy while a further request is taken in.
        queue: requests that may wait for their turn beyond that.
        budget: of shared memory; by default nothing bounds it.
        limited: whether the functions run under the plan's limits, so that requests which cannot fit are refused.
        observe: told the timings of every call.
    """

    def __init__(
        self,
        manifest: Manifest,
        functions: Mapping[str, LocalFunction],
        *,
        name: str | None = None,
        concurrency: int | None = None,
        queue: int = DEFAULT_QUEUE,
        budget: MemoryBudget | None = None,
        limited: bool = False,
        observe: Callable[[Timing], None] = lambda _timing: None,
    ) -> None:
        self.name = name or manifest.name
        self.inputs: tuple[TensorSpec, ...] = manifest.inputs
        self.outputs: tuple[TensorSpec, ...] = manifest.outputs
        self._functions = functions
        self._ranges = manifest.plan.ranges
        plans = call_plans(manifest, limited=limited)
        self._schedule, self._footprint = Schedule.of(plans), Footprint(plans)
        self._budget, self._starving = budget, Starving()
        self._makers = dict(manifest.plan.outputs)
        self._dtypes = {spec.name: spec.dtype for spec in manifest.outputs}
        self._observe = observe
        self._queue = queue
        self._waiting = 0
        self._slots = asyncio.Semaphore(concurrency or len(functions) + 1)
        self._arenas: list[tuple[Arena, float]] = []  # the one used last comes last, with the time when it was
        self._stragglers: set[asyncio.Task[None]] = set()

    def ready(self) -> bool:
        """Whether every function would answer now."""
        return all(function.ready() for function in self._functions.values())

    @contextlib.asynccontextmanager
    async def infer(
        self, inputs: Mapping[str, TensorValue], outputs: Sequence[str] | None, deadline_s: float
    ) -> AsyncIterator[Answer]:
        """Answer one request; its outputs stay valid inside the ``async with`` block.

        Args:
            inputs: one value for each input of the model.
            outputs: names of the outputs wanted; None for all.
            deadline_s: seconds from now.

        Raises:
            RequestError: inputs do not fit the model.
            OverloadedError: too many requests wait, or the deadline passed while waiting.
            OutOfMemoryError: a function has not the memory for a request of these sizes.
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
        state = RequestState(self._arenas.pop()[0] if self._arenas else Arena(self._budget))
        task = asyncio.ensure_future(self._execute(state, inputs, needed, deadline))
        try:
            try:
                await asyncio.shield(task)
            except OutOfMemoryError as error:
                self._starving.note(inputs, str(error))
                raise
            yield Answer(state.values(wanted), state.timings)
        finally:
            if task.done():
                self._ended(task, state)
            else:
                # The caller left; workers may still write into the arena, so the request keeps arena and slot.
                state.abandon()
                self._stragglers.add(task)
                task.add_done_callback(lambda _task: self._ended(task, state))

    async def close(self) -> None:
        """Wait for calls whose callers left, then give the shared memory back."""
        while self._stragglers:
            await asyncio.wait(self._stragglers)
        for arena, _ in self._arenas:
            arena.close()
        self._arenas.clear()

    def _wanted(self, outputs: Sequence[str] | None) -> list[tuple[str, str, str]]:
        names = [spec.name for spec in self.outputs] if outputs is None else outputs
        for name in names:
            if name not in self._dtypes:
                raise RequestError(f"the model has no output {name}: it has {', '.join(self._dtypes)}")
        return [(name, self._dtypes[name], self._makers[name]) for name in names]

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

    async def _execute(
        self, state: RequestState, inputs: Mapping[str, TensorValue], needed: int, deadline: float
    ) -> None:
        state.arena.reserve(needed)
        state.accept(inputs)
        await self._follow(state, self._schedule, deadline)

    async def _follow(self, state: RequestState, schedule: Schedule, deadline: float) -> None:
        """Run all units of a schedule, each as soon as those that it waits for have ended."""
        missing = dict(schedule.awaited)
        branches: list[asyncio.Task[None]] = []

        async def follow(units: Sequence[Unit]) -> None:
            """Run the first unit and what becomes ready by it; the others are branches of their own."""
            while units and not state.abandoned:
                branches.extend(asyncio.create_task(follow([unit])) for unit in units[1:])
                dependents = schedule.dependents[units[0]]
                try:
                    await self._run(state, units[0], dependents, deadline)
                except BaseException:
                    state.abandon()  # calls on their way still use the arena; no others begin
                    raise
                for dependent in dependents:
                    missing[dependent] -= 1
                units = [unit for unit in dependents if missing[unit] == 0]

        outcomes: list[BaseException | None] = []
        try:
            await follow([unit for unit, count in missing.items() if count == 0])
        finally:  # whatever became of it, the others use the arena until they end
            for branch in branches:  # grows while it is gone through
                outcomes += await asyncio.gather(branch, return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _run(self, state: RequestState, unit: Unit, dependents: Sequence[Unit], deadline: float) -> None:
        if unit.singly is None:
            (plan,) = unit.calls
            frame = state.frame(plan)
            self._look_ahead(state, dependents)
            state.record(plan, await self._functions[plan.call.function].call(frame, state.arena, deadline))
            return
        frames = state.sequences(unit.calls, unit.waits, deadline)
        if frames is None:
            await self._follow(state, unit.singly, deadline)
            return
        self._look_ahead(state, dependents)
        await self._exchange(state, unit, frames, deadline)

    def _look_ahead(self, state: RequestState, units: Sequence[Unit]) -> None:
        """Prepare what comes next as soon as calls are on their way: the gateway has nothing else to do then."""
        plans = [plan for unit in units for plan in unit.calls]
        asyncio.get_running_loop().call_soon(state.look_ahead, plans)

    async def _exchange(self, state: RequestState, unit: Unit, frames: Mapping[str, bytes], deadline: float) -> None:
        """Run sequences that wait for each other."""
        names = sorted(frames)
        async with contextlib.AsyncExitStack() as turns:
            # In the same order in every request: two of which each has one of two functions would wait for ever.
            for name in names:
                await turns.enter_async_context(self._functions[name].turn(deadline))
            parts = [self._sequence(state, name, frames[name], deadline) for name in names]
            outcomes = await asyncio.gather(*parts, return_exceptions=True)
        found = dict(zip(names, outcomes, strict=True))
        results = {name: outcome for name, outcome in found.items() if isinstance(outcome, SequenceResult)}
        state.record_sequences(unit.calls, results)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        if not all(result.complete for result in results.values()) and not state.abandoned:
            raise DeploymentError(f"functions {', '.join(names)} did not answer before the deadline")

    async def _sequence(self, state: RequestState, name: str, frame: bytes, deadline: float) -> SequenceResult:
        try:
            return await self._functions[name].sequence(frame, state.arena, deadline)
        except BaseException:
            state.abandon()  # the others would wait for what does not come
            raise

    def _ended(self, task: asyncio.Task[None], state: RequestState) -> None:
        """Nothing uses the request's memory any more: the next request may."""
        self._stragglers.discard(task)
        if not task.cancelled():
            task.exception()  # heard by whoever waited, if anybody did
        for timing in state.timings:
            self._observe(timing)
        state.abandon()  # a look ahead that is still to come finds nothing to do
        state.arena.reset()
        now = time.monotonic()
        self._arenas.append((state.arena, now))
        if now - self._arenas[0][1] > _IDLE_S:
            self._arenas.pop(0)[0].close()
        self._slots.release()
