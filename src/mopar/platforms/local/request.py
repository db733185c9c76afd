"""One request on the local transport: the places of its tensors in shared memory, and its frames."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mopar.bundle.call_plans import CallPlan, CallShapes, Made
from mopar.bundle.call_shapes import Shape, check_bytes, tensor_bytes
from mopar.platforms.base import CallTiming
from mopar.platforms.local.arena import Arena
from mopar.platforms.local.function import LocalFunction, SequenceResult
from mopar.runtime.frames import NOWHERE, TensorRef, pack_run
from mopar.runtime.sequence import ABORT, MAX_FLAGS, Step, pack_sequence
from mopar.types import (
    REQUEST,
    DeploymentError,
    MoparError,
    Region,
    TensorSpec,
    TensorValue,
    dtype_of_name,
    element_count,
)

_FOREVER_S = 1e9
"""Later than any machine's clock, and no more ns than a frame has room for."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Places of a call's outputs (NOWHERE for those of unknown size), and its RUN frame."""

    outputs: Sequence[TensorRef]
    frame: bytes


class LocalRequest:
    """A request's tensors by (tensor, producing call), all in one arena.

    Tensors of known size get their places before the call that produces them runs, and frames of upcoming calls are
    made while their producers run, when the gateway is idle.

    Args:
        functions: by name.
        arena: where its tensors go.
        on_close: called with the arena, which the request does not use any more.
    """

    def __init__(
        self,
        functions: Mapping[str, LocalFunction],
        arena: Arena,
        on_close: Callable[[Arena], None],
    ) -> None:
        self._functions = functions
        self._arena = arena
        self._on_close = on_close
        self._abandoned = False
        self._tensors: dict[Made, TensorRef] = {}
        self._timings: list[CallTiming] = []
        self._ahead: dict[str, bytes] = {}
        self._flags: list[TensorRef] = []

    @property
    def timings(self) -> Sequence[CallTiming]:
        """Of the calls that have ended."""
        return self._timings

    @property
    def abandoned(self) -> bool:
        """Whether no further call may start."""
        return self._abandoned

    def abandon(self) -> None:
        """Start no further calls, and stop workers that wait for others."""
        self._abandoned = True
        for flags in self._flags:
            self._arena.view(flags)[ABORT] = 1

    def close(self) -> None:
        """Return the arena for later requests. No call may be running."""
        self.abandon()  # so that no more frames are made ahead
        self._on_close(self._arena)

    def accept(self, values: Mapping[str, TensorValue], nbytes: int) -> None:
        """Copy the request's inputs into shared memory, the only copy between HTTP body and engine.

        Raises:
            RequestError: the bytes of a value do not match its shape.
            OverloadedError, DeploymentError: there is no room for ``nbytes``.
        """
        self._arena.reserve(nbytes)
        for value in values.values():
            check_bytes(value)
            data = memoryview(value.data).cast("B")
            ref = self._arena.place(dtype_of_name(value.dtype).code, value.shape, len(data))
            if len(data):
                self._arena.view(ref)[:] = data
            self._tensors[value.name, REQUEST] = ref

    def value(self, name: str, dtype: str, made: Made) -> TensorValue:
        """A tensor as a view of shared memory."""
        ref = self._tensors[made]
        return TensorValue(name, dtype, ref.shape, self._arena.view(ref))

    async def run(self, plan: CallPlan, upcoming: Sequence[CallPlan], deadline: float) -> None:
        """Run one call."""
        frame = self.frame(plan)
        self._prepare_soon(upcoming)
        result = await self._functions[plan.call.function].call(frame, self._arena, deadline)
        placed = iter(result.placed)
        call = plan.call
        for name in call.outputs:
            if (name, call.id) not in self._tensors:
                self._tensors[name, call.id] = next(placed)
        self._timings.append(CallTiming(call.id, call.function, result.held_ns, result.compute_ns, result.attempts))

    async def run_group(
        self,
        plans: Sequence[CallPlan],
        waits: Sequence[Sequence[int]],
        upcoming: Sequence[CallPlan],
        deadline: float,
    ) -> bool:
        """Run sequences that wait for each other, one for each function."""
        frames = self._sequences(plans, waits, deadline)
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
        if not all(result.complete for result in results.values()) and not self._abandoned:
            raise DeploymentError(f"functions {', '.join(names)} did not answer before the deadline")
        return True

    async def _sequence(self, name: str, frame: bytes, deadline: float) -> SequenceResult:
        try:
            return await self._functions[name].sequence(frame, self._arena, deadline)
        except BaseException:
            self.abandon()  # the others would wait for tensors that are never produced
            raise

    def frame(self, plan: CallPlan) -> bytes:
        """The call's RUN frame, made now unless it was made ahead.

        Raises:
            RequestError: a tensor's shape does not fit the call, as the request's shapes do not fit the plan.
            DeploymentError: the machine has no memory left, or the call has too many tensors.
        """
        return self._ahead.pop(plan.call.id, None) or self._prepared(plan).frame

    def _prepare_soon(self, plans: Sequence[CallPlan]) -> None:
        """Make frames in the next turn of the event loop, when the current call has been sent."""
        if plans:
            asyncio.get_running_loop().call_soon(self.look_ahead, plans)

    def look_ahead(self, plans: Sequence[CallPlan]) -> None:
        """Make frames of calls whose inputs have places already."""
        for plan in plans:
            known = all(made in self._tensors for made in plan.sources)
            if known and plan.call.id not in self._ahead and not self._abandoned:
                try:
                    self._ahead[plan.call.id] = self.frame(plan)
                except MoparError:
                    return  # raised again when the call runs

    def _prepared(self, plan: CallPlan) -> Prepared:
        """Places and frame of a call: those of an earlier request whose inputs had the same places, or new ones."""
        sources = tuple(self._tensors[made] for made in plan.sources)
        prepared = self._arena.remember((plan.call.id, sources), lambda: self._prepare(plan, sources))
        for name, ref in zip(plan.call.outputs, prepared.outputs, strict=True):
            if ref.segment != NOWHERE:
                self._tensors[name, plan.call.id] = ref
        return prepared

    def _prepare(self, plan: CallPlan, sources: Sequence[TensorRef]) -> Prepared:
        shapes = plan.shapes({made: ref.shape for made, ref in self._tensors.items()})
        inputs = [ref if part is None else region_of(ref, part) for ref, part in zip(sources, plan.taken, strict=True)]
        outputs = self._outputs(plan, shapes)
        try:
            return Prepared(outputs, pack_run(plan.index, inputs, outputs))
        except ValueError as cause:
            raise DeploymentError(f"function {plan.call.function}: {cause}") from cause

    def _outputs(self, plan: CallPlan, shapes: CallShapes) -> list[TensorRef]:
        return [self._place(spec, shape) for spec, shape in zip(plan.graph.outputs, shapes.outputs, strict=True)]

    def _place(self, spec: TensorSpec, shape: Shape | None) -> TensorRef:
        code = dtype_of_name(spec.dtype).code
        nbytes = None if shape is None else tensor_bytes(spec.dtype, shape)
        if shape is None or nbytes is None:
            return TensorRef(code, (), NOWHERE, 0, 0)
        return self._arena.place(code, shape, nbytes)

    def _sequences(
        self, plans: Sequence[CallPlan], waits: Sequence[Sequence[int]], deadline: float
    ) -> dict[str, bytes] | None:
        """RUN_SEQUENCE for each function of calls that wait for each other.

        Args:
            plans: in an order in which they can run; what they read from other calls has its place already.
            waits: for each, the places in ``plans`` of the calls to wait for.
            deadline: when waiting ends, on the clock of ``time.monotonic``.

        Returns:
            None where an output's size is not known in advance, or the calls are too many for a frame.

        Raises:
            RequestError, DeploymentError: as from ``frame``.
        """
        for plan in plans:
            if plan.call.id not in self._ahead:
                self._ahead[plan.call.id] = self.frame(plan)
            if any((name, plan.call.id) not in self._tensors for name in plan.call.outputs):
                return None
        steps: dict[str, list[Step]] = {}
        for place, (plan, awaited) in enumerate(zip(plans, waits, strict=True)):
            step = Step(self._ahead[plan.call.id], _flag(place), tuple(map(_flag, awaited)))
            steps.setdefault(plan.call.function, []).append(step)
        if _flag(len(plans)) > MAX_FLAGS:
            return None
        flags = self._cleared_flags(_flag(len(plans)))
        deadline_ns = int(min(deadline, _FOREVER_S) * 1e9)
        try:
            return {
                function: pack_sequence(runs, flags.segment, flags.offset, deadline_ns)
                for function, runs in steps.items()
            }
        except ValueError:
            return None

    def _cleared_flags(self, count: int) -> TensorRef:
        ref = self._arena.place(dtype_of_name("uint8").code, (count,), count)
        self._arena.view(ref)[:] = bytes(count)
        self._flags.append(ref)
        if self._abandoned:
            self.abandon()
        return ref

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


def _flag(place: int) -> int:
    """The flag of the call at a place in its group; the flag before all of them is ABORT."""
    return place + ABORT + 1


def region_of(ref: TensorRef, region: Region) -> TensorRef:
    """A contiguous region of a tensor, which is not copied."""
    assert element_count(ref.shape[: region.axis]) == 1, "a region that is not contiguous was not lowered"
    stride = ref.nbytes // ref.shape[region.axis]
    length = region.stop - region.start
    shape = (*ref.shape[: region.axis], length, *ref.shape[region.axis + 1 :])
    return TensorRef(ref.code, shape, ref.segment, ref.offset + region.start * stride, length * stride)
