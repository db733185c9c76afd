"""One request on its way through the plan: which calls wait for what, and where its tensors lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mopar.gateway.layout import bind_dimensions, resolve_shape, tensor_bytes
from mopar.platforms.local import Arena, CallResult, SequenceResult
from mopar.runtime.frames import NOWHERE, TensorRef, pack_run
from mopar.runtime.sequence import ABORT, MAX_FLAGS, Step, pack_sequence
from mopar.types import (
    REQUEST,
    Call,
    DeploymentError,
    GraphEntry,
    Manifest,
    MoparError,
    Region,
    RequestError,
    TensorSpec,
    TensorValue,
    dtype_of_name,
    element_count,
)

_MIB = 1 << 20
_FOREVER_S = 1e9
"""Later than any machine's clock, and no more ns than a frame has room for."""

Made = tuple[str, str]
"""A tensor and the call that made it."""


@dataclass(frozen=True, slots=True)
class CallPlan:
    """A call, and its graph's index in its function.

    ``sources`` are what it reads; of several that reach it as one tensor, the first. ``regions`` are all that the plan
    takes of the call's sources, those included that its graph cuts out itself. ``memory_mib`` is its function's limit;
    None where none is set.
    """

    call: Call
    graph: GraphEntry
    index: int
    sources: tuple[Made, ...]
    regions: tuple[tuple[Made, Region], ...]
    memory_mib: int | None = None

    @property
    def producers(self) -> frozenset[str]:
        """The calls that it waits for."""
        return frozenset(producer for _, producer in self.sources) - {REQUEST}


def call_plans(manifest: Manifest, *, limited: bool = False) -> tuple[CallPlan, ...]:
    """The manifest's calls with what is needed to run them; ``limited`` where functions run under the plan's limits."""
    limits = {function.name: function.memory_mib for function in manifest.plan.functions if limited}
    positions: dict[str, int] = {}
    counts: dict[str, int] = {}
    entries = {graph.id: graph for graph in manifest.graphs}
    for graph in manifest.graphs:
        positions[graph.id] = counts.get(graph.function, 0)
        counts[graph.function] = positions[graph.id] + 1
    regions = {call.id: _regions(call) for call in manifest.plan.calls}
    plans = []
    for call in manifest.calls:
        sources = tuple((item.sources[0].tensor, item.sources[0].producer) for item in call.inputs)
        index, limit = positions[call.graph], limits.get(call.function)
        plans.append(CallPlan(call, entries[call.graph], index, sources, regions[call.id], limit))
    return tuple(plans)


def _regions(call: Call) -> tuple[tuple[Made, Region], ...]:
    sources = [source for item in call.inputs for source in item.sources]
    return tuple(((source.tensor, source.producer), source.region) for source in sources if source.region is not None)


@dataclass(frozen=True, slots=True)
class Prepared:
    """Places of a call's inputs and outputs, those of unknown size NOWHERE, and its RUN frame."""

    inputs: Sequence[TensorRef]
    outputs: Sequence[TensorRef]
    frame: bytes


@dataclass(slots=True)
class Timing:
    """What one call took."""

    call: str
    function: str
    busy_ns: int
    compute_ns: int
    attempts: int


@dataclass(slots=True)
class RequestState:
    """Tensors of a request by (tensor, producing call), all in one arena.

    ``abandoned`` once nobody waits for the answer any more: runs on their way end, no others begin.
    Places of known size are in ``tensors`` before the call that fills them has run, and ``ahead`` holds
    frames that are ready for when their turn comes.
    """

    arena: Arena
    abandoned: bool = False
    tensors: dict[Made, TensorRef] = field(default_factory=dict)
    timings: list[Timing] = field(default_factory=list)
    ahead: dict[str, bytes] = field(default_factory=dict)
    flags: list[TensorRef] = field(default_factory=list)

    def abandon(self) -> None:
        """Begin no further calls, and have workers stop that wait for others."""
        self.abandoned = True
        for flags in self.flags:
            self.arena.view(flags)[ABORT] = 1

    def accept(self, values: Mapping[str, TensorValue]) -> None:
        """Copy the request's inputs into shared memory: the only copy on their way.

        Raises:
            RequestError: a value has not as many bytes as its shape says.
        """
        for value in values.values():
            data = memoryview(value.data).cast("B")
            nbytes = len(data)
            expected = tensor_bytes(value.dtype, value.shape)
            if expected is not None and expected != nbytes:
                raise RequestError(f"input {value.name} has {nbytes} bytes, its shape needs {expected}")
            ref = self.arena.place(dtype_of_name(value.dtype).code, value.shape, nbytes)
            if nbytes:
                self.arena.view(ref)[:] = data
            self.tensors[value.name, REQUEST] = ref

    def frame(self, plan: CallPlan) -> bytes:
        """The call's RUN frame, made now unless it was made ahead.

        Raises:
            RequestError: a tensor's shape does not fit the call, as the request's shapes do not fit the plan.
            DeploymentError: the machine has no memory left, or the call has too many tensors.
        """
        return self.ahead.pop(plan.call.id, None) or self.prepare(plan).frame

    def look_ahead(self, plans: Sequence[CallPlan]) -> None:
        """Make frames of calls whose inputs have places already, while their producers run."""
        for plan in plans:
            known = all(made in self.tensors for made in plan.sources)
            if known and plan.call.id not in self.ahead and not self.abandoned:
                try:
                    self.ahead[plan.call.id] = self.frame(plan)
                except MoparError:
                    return  # it is told when the call's turn comes

    def prepare(self, plan: CallPlan) -> "Prepared":
        """Places of a call's inputs and outputs, the same as in an earlier request that had the same ones before.

        Raises:
            RequestError: a tensor's shape does not fit the call, as the request's shapes do not fit the plan.
            DeploymentError: the machine has no memory left, or the call has too many tensors.
        """
        sources = tuple(self.tensors[made] for made in plan.sources)
        prepared = self.arena.remember((plan.call.id, sources), lambda: self._prepare(plan, sources))
        for name, ref in zip(plan.call.outputs, prepared.outputs, strict=True):
            if ref.segment != NOWHERE:
                self.tensors[name, plan.call.id] = ref
        return prepared

    def _prepare(self, plan: CallPlan, sources: Sequence[TensorRef]) -> "Prepared":
        for made, region in plan.regions:
            check_region(made[0], self.tensors[made].shape, region)
        taken = [item.sources[0].region for item in plan.call.inputs]
        inputs = [ref if part is None else region_of(ref, part) for ref, part in zip(sources, taken, strict=True)]
        shapes = {spec.name: ref.shape for spec, ref in zip(plan.graph.inputs, inputs, strict=True)}
        sizes = bind_dimensions(plan.graph.inputs, shapes)
        shapes_made = [(spec, resolve_shape(spec, sizes)) for spec in plan.graph.outputs]
        check_room(plan, [ref.nbytes for ref in inputs], shapes_made)
        outputs = [self._output(spec, shape) for spec, shape in shapes_made]
        try:
            return Prepared(inputs, outputs, pack_run(plan.index, inputs, outputs))
        except ValueError as cause:
            raise DeploymentError(f"function {plan.call.function}: {cause}") from cause

    def _output(self, spec: TensorSpec, shape: tuple[int, ...] | None) -> TensorRef:
        code = dtype_of_name(spec.dtype).code
        nbytes = None if shape is None else tensor_bytes(spec.dtype, shape)
        if shape is None or nbytes is None:
            return TensorRef(code, (), NOWHERE, 0, 0)
        return self.arena.place(code, shape, nbytes)

    def sequences(
        self, plans: Sequence[CallPlan], waits: Sequence[Sequence[int]], deadline: float
    ) -> dict[str, bytes] | None:
        """RUN_SEQUENCE for each function of calls that wait for each other.

        Args:
            plans: in an order in which they can run; what they read from other calls has its place already.
            waits: for each, the places in ``plans`` of the calls to wait for.
            deadline: when waiting ends, on the clock of ``time.monotonic``.

        Returns:
            None where an output's size is not known beforehand, or where they are too many for a frame.

        Raises:
            RequestError, DeploymentError: as from ``frame``.
        """
        for plan in plans:
            if plan.call.id not in self.ahead:
                self.ahead[plan.call.id] = self.frame(plan)
            if any((name, plan.call.id) not in self.tensors for name in plan.call.outputs):
                return None
        steps: dict[str, list[Step]] = {}
        for place, (plan, awaited) in enumerate(zip(plans, waits, strict=True)):
            step = Step(self.ahead[plan.call.id], _flag(place), tuple(map(_flag, awaited)))
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
        ref = self.arena.place(dtype_of_name("uint8").code, (count,), count)
        self.arena.view(ref)[:] = bytes(count)
        self.flags.append(ref)
        if self.abandoned:
            self.abandon()
        return ref

    def record(self, plan: CallPlan, result: CallResult) -> None:
        """Keep what a call gave."""
        call = plan.call
        placed = iter(result.placed)
        for name in call.outputs:
            if (name, call.id) not in self.tensors:
                self.tensors[name, call.id] = next(placed)
        self.timings.append(Timing(call.id, call.function, result.busy_ns, result.compute_ns, result.attempts))

    def record_sequences(self, plans: Sequence[CallPlan], results: Mapping[str, SequenceResult]) -> None:
        """Keep the times of calls that ran in sequences, by function; their outputs lie where they were to lie."""
        taken = {function: iter(result.times_ns) for function, result in results.items()}
        attempts = {function: result.attempts for function, result in results.items()}
        for plan in plans:
            function = plan.call.function
            times_ns = next(taken.get(function, iter(())), None)
            if times_ns is not None:
                # The sequence was tried again once, not once for each of its calls.
                self.timings.append(Timing(plan.call.id, function, *times_ns, attempts.pop(function, 1)))

    def values(self, wanted: Sequence[tuple[str, str, str]]) -> list[TensorValue]:
        """Outputs as views of shared memory; each wanted as (name, dtype, producing call)."""
        values = []
        for name, dtype, producer in wanted:
            ref = self.tensors[name, producer]
            values.append(TensorValue(name, dtype, ref.shape, self.arena.view(ref)))
        return values


def _flag(place: int) -> int:
    """The flag of a sequences' call by its place; the first one is ABORT."""
    return place + ABORT + 1


def check_room(
    plan: CallPlan, inputs: Sequence[int], outputs: Sequence[tuple[TensorSpec, tuple[int, ...] | None]]
) -> None:
    """Whether a function could hold a call's tensors, before room is made for them or it is killed over them.

    Args:
        plan: of the call.
        inputs: bytes of each.
        outputs: with their shapes, where these are known.

    Raises:
        RequestError: they take more than the function's memory.
    """
    if plan.memory_mib is None:
        return
    made = (tensor_bytes(spec.dtype, shape) for spec, shape in outputs if shape is not None)
    needed_mib = (sum(inputs) + sum(size for size in made if size is not None)) / _MIB
    if needed_mib > plan.memory_mib:
        raise RequestError(
            f"function {plan.call.function} would hold {needed_mib:.0f} MiB of tensors for this request, its memory is "
            f"{plan.memory_mib} MiB: profile, plan and build the model again with --input ranges that such requests fit"
        )


def check_region(name: str, shape: tuple[int, ...], region: Region) -> None:
    """Whether a tensor has the region that a plan takes of it. Raises RequestError."""
    size = shape[region.axis]
    if region.stop > size or region.size not in {None, size}:
        needed = f"{region.stop} at least" if region.size is None else str(region.size)
        raise RequestError(f"tensor {name} has {size} elements along axis {region.axis}, this plan needs {needed}")


def region_of(ref: TensorRef, region: Region) -> TensorRef:
    """A contiguous region of a tensor, in place."""
    assert element_count(ref.shape[: region.axis]) == 1, "a region that is not contiguous was not lowered"
    step = ref.nbytes // ref.shape[region.axis]
    length = region.stop - region.start
    shape = (*ref.shape[: region.axis], length, *ref.shape[region.axis + 1 :])
    return TensorRef(ref.code, shape, ref.segment, ref.offset + region.start * step, length * step)
