"""One request on the local transport: its calls by themselves, in groups and in chains."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence

from mopar.bundle.call_plans import CallChain, CallPlan, Made
from mopar.platforms.base import CallTiming, MisforeseenError
from mopar.platforms.local.arena import Arena
from mopar.platforms.local.chain import Chain
from mopar.platforms.local.function import LocalFunction, SequenceResult
from mopar.platforms.local.places import Places
from mopar.runtime.sequence import ENDED, MISFIT
from mopar.segments import Place
from mopar.types import DeploymentError, TensorValue


class LocalRequest:
    """A request in flight.

    Args:
        functions: by name.
        places: of its tensors, none yet.
        on_close: called with the places' arena, which the request does not use any more.
    """

    def __init__(
        self, functions: Mapping[str, LocalFunction], places: Places, on_close: Callable[[Arena], None]
    ) -> None:
        self.places = places
        self._functions = functions
        self._arena = places.arena
        self._on_close = on_close
        self._abandoned = False
        self._timings: list[CallTiming] = []

    @property
    def timings(self) -> Sequence[CallTiming]:
        """Of the calls that have ended."""
        return self._timings

    @property
    def foresees(self) -> bool:
        """Whether tensors have places that were assigned by the sizes of earlier requests."""
        return self.places.foresees

    @property
    def abandoned(self) -> bool:
        """Whether no further call may start."""
        return self._abandoned

    def abandon(self) -> None:
        """Start no further calls, stop workers that wait for others, and have none pass a call on."""
        self._abandoned = True
        self.places.abort()

    def close(self) -> None:
        """Return the arena for later requests. No call may be running."""
        self.abandon()  # so that no more frames are made ahead
        self._on_close(self._arena)

    def accept(self, values: Mapping[str, TensorValue], nbytes: int, homes: Mapping[Made, Place]) -> None:
        """Copy the request's inputs into shared memory, where ``nbytes`` are taken. Arguments as ``Places.accept``."""
        self.places.accept(values, nbytes, homes)

    def value(self, name: str, dtype: str, made: Made) -> TensorValue:
        """A tensor as a view of shared memory."""
        return self.places.value(name, dtype, made)

    async def run(self, plan: CallPlan, upcoming: Sequence[CallPlan], deadline: float) -> None:
        """Run one call."""
        frame = self.places.frame(plan)
        self._prepare_soon(upcoming)
        await self._call(plan, frame, deadline)

    async def _call(self, plan: CallPlan, frame: bytes, deadline: float, tried: int = 0) -> None:
        call = plan.call
        try:
            result = await self._functions[call.function].call(frame, self._arena, deadline, tried)
        except MisforeseenError:
            self.places.misfit(plan)
            raise
        self.places.placed_after(plan, result.placed)
        self._timings.append(CallTiming(call.id, call.function, result.held_ns, result.compute_ns, result.attempts))

    async def run_group(
        self,
        plans: Sequence[CallPlan],
        waits: Sequence[Sequence[int]],
        upcoming: Sequence[CallPlan],
        deadline: float,
    ) -> bool:
        """Run sequences that wait for each other, one for each function."""
        frames = self.places.sequences(plans, waits, deadline)
        if frames is None:
            return False
        self._prepare_soon(upcoming)
        names = sorted(frames)
        async with contextlib.AsyncExitStack() as turns:
            # In the same order in every request: otherwise two requests, with one function each, could deadlock.
            for name in names:
                await turns.enter_async_context(self._functions[name].turns.take(deadline))
            parts = [self._sequence(name, frames[name], deadline) for name in names]
            outcomes = await asyncio.gather(*parts, return_exceptions=True)
        found = dict(zip(names, outcomes, strict=True))
        results = {name: outcome for name, outcome in found.items() if isinstance(outcome, SequenceResult)}
        self._record_sequences(plans, results)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        self._check_sequences(plans, results)
        if not all(result.outcome == ENDED for result in results.values()) and not self._abandoned:
            raise DeploymentError(f"functions {', '.join(names)} did not answer before the deadline")
        return True

    async def _sequence(self, name: str, frame: bytes, deadline: float) -> SequenceResult:
        try:
            return await self._functions[name].sequence(frame, self._arena, deadline)
        except BaseException:
            self.abandon()  # the others would wait for tensors that are never produced
            raise

    async def run_chain(self, chain: CallChain, upcoming: Sequence[CallPlan], deadline: float) -> int:
        """Run calls that workers pass on to each other: as many as have foreseen sizes and fit into a frame."""
        functions = [self._functions[plan.call.function] for plan in chain.plans]
        if self._abandoned or not all(function.free() for function in functions):
            return 0
        prepared = self.places.chain(chain)
        if prepared.count == 0:
            return 0
        if prepared.count == len(functions):
            self._prepare_soon(upcoming)
        running = Chain(functions[: prepared.count], deadline, self.places.abort)
        try:
            died = await running.run(prepared.frame, prepared.peers, self._arena)
        finally:
            self._record_chain(chain, running)
        ended = len(running.times_ns)
        if running.misfit:
            self.places.misfit(chain.plans[ended])
            raise MisforeseenError
        if ended < prepared.count:
            self.places.divide(chain, prepared)
        if not died:
            return ended
        plan = chain.plans[ended]
        await self._call(plan, self.places.frame(plan), deadline, tried=1)
        return ended + 1

    def _record_chain(self, chain: CallChain, running: Chain) -> None:
        """Record the times of calls of a chain that have ended."""
        for plan, (held_ns, compute_ns) in zip(chain.plans, running.times_ns, strict=False):
            self._timings.append(CallTiming(plan.call.id, plan.call.function, held_ns, compute_ns, attempts=1))

    def _prepare_soon(self, plans: Sequence[CallPlan]) -> None:
        """Make frames in the next turn of the event loop, when the current call has been sent."""
        if plans:
            asyncio.get_running_loop().call_soon(self.places.look_ahead, plans)

    def _check_sequences(self, plans: Sequence[CallPlan], results: Mapping[str, SequenceResult]) -> None:
        """Raise MisforeseenError where an output of the last run of a sequence is not as foreseen."""
        for name, result in results.items():
            if result.outcome == MISFIT:
                self.places.misfit([plan for plan in plans if plan.call.function == name][len(result.times_ns)])
                raise MisforeseenError

    def _record_sequences(self, plans: Sequence[CallPlan], results: Mapping[str, SequenceResult]) -> None:
        """Record the times of calls that ran in sequences, one for each function."""
        taken = {function: iter(result.times_ns) for function, result in results.items()}
        attempts = {function: result.attempts for function, result in results.items()}
        for plan in plans:
            function = plan.call.function
            times_ns = next(taken.get(function, iter(())), None)
            if times_ns is not None:
                held_ns, compute_ns, waiting_ns = times_ns
                # A sequence is retried as a whole, so only its first call counts the attempts.
                tried = attempts.pop(function, 1)
                self._timings.append(CallTiming(plan.call.id, function, held_ns, compute_ns, tried, waiting_ns))
