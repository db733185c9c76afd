"""Places of a request's tensors in shared memory, and the frames that tell workers of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mopar.bundle.call_plans import CallChain, CallPlan, CallShapes, Made
from mopar.bundle.call_shapes import Shape, check_bytes, tensor_bytes
from mopar.platforms.local.arena import Arena
from mopar.platforms.local.foreseen import Foreseen
from mopar.runtime.frames import CHAIN_BYTES, MAX_FRAME, NOWHERE, TensorRef, pack_chain, pack_run, unpack_chain
from mopar.runtime.sequence import ABORT, MAX_FLAGS, Step, pack_sequence
from mopar.segments import Place
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
    """Places of a call's outputs (NOWHERE for those whose size is not foreseen), and its RUN frame."""

    outputs: Sequence[TensorRef]
    frame: bytes


@dataclass(frozen=True, slots=True)
class PreparedChain:
    """The calls of a chain that workers can pass on: as many as have outputs of foreseen sizes, and fit into a frame.

    Attributes:
        count: how many they are, from the first on; 0 where they are fewer than two.
        frame: the first one's, in which all others are.
        peers: the numbers by which workers know the functions of all but the first.
        outputs: places of what they produce, and the first call that they do not include.
        excluded: the RUN frame of that call, by its id.
    """

    count: int
    frame: bytes
    peers: tuple[int, ...]
    outputs: Mapping[Made, TensorRef]
    excluded: Mapping[str, bytes]

    def runs(self) -> list[bytes]:
        """The RUN frame of each call."""
        found, rest = [], memoryview(self.frame)
        for _ in range(self.count - 1):
            run, _, rest, _, _ = unpack_chain(rest)
            found.append(bytes(run))
        return [*found, bytes(rest)]


class Places:
    """A request's tensors by (tensor, producing call), all in one arena.

    Tensors whose size follows from the request's shapes, or is foreseen from requests of the same shapes, get their
    places before the call that produces them runs, and frames of upcoming calls are made while their producers run,
    when the gateway is idle. Where a tensor turns out to have another size than was foreseen, places and frames of what
    follows may be wrong: the request cannot go on.

    Args:
        arena: where they are.
        peers: function -> the number by which workers know it.
        foreseen: from requests of the same shapes.
        foresee: whether to use that.

    Attributes:
        foresees: whether any tensor's size may be foreseen.
    """

    def __init__(self, arena: Arena, peers: Mapping[str, int], foreseen: Foreseen, *, foresee: bool = True) -> None:
        self.arena = arena
        self.tensors: dict[Made, TensorRef] = {}
        self.foresees = foresee and len(foreseen) > 0
        self._peers = peers
        self._foreseen = foreseen
        self._homes: dict[Made, Place] = {}
        self._ahead: dict[str, bytes] = {}
        self._flags: list[TensorRef] = []
        self._chain_abort: TensorRef | None = None
        self._aborted = False

    def accept(self, values: Mapping[str, TensorValue], nbytes: int, homes: Mapping[Made, Place]) -> None:
        """Copy the request's inputs into shared memory, the only copy between HTTP body and engine.

        Those in memory that the client shares stay there, and are not copied.

        Args:
            values: the inputs.
            nbytes: that the request needs.
            homes: where outputs are to be put that fit and whose size is known before they are made.

        Raises:
            RequestError: the bytes of a value do not match its shape.
            OverloadedError, DeploymentError: there is no room for ``nbytes``.
        """
        self.arena.reserve(nbytes)
        self._homes = dict(homes)
        for home in homes.values():
            self.arena.borrow(home)
        for value in values.values():
            check_bytes(value)
            if value.place is not None:
                self.arena.borrow(value.place)
                code = dtype_of_name(value.dtype).code
                self.tensors[value.name, REQUEST] = self.arena.lent(value.place, code, value.shape, value.nbytes)
                continue
            data = memoryview(value.data).cast("B")
            ref = self.arena.place(dtype_of_name(value.dtype).code, value.shape, len(data))
            if len(data):
                self.arena.view(ref)[:] = data
            self.tensors[value.name, REQUEST] = ref

    def value(self, name: str, dtype: str, made: Made) -> TensorValue:
        """A tensor as a view of shared memory, or its place in the client's."""
        ref = self.tensors[made]
        place = self.arena.borrowed(ref)
        return TensorValue(name, dtype, ref.shape, b"" if place else self.arena.view(ref), place)

    def placed_after(self, plan: CallPlan, outputs: Sequence[TensorRef]) -> None:
        """Note the places of a call's outputs that had none before it ran."""
        placed = [made for made in plan.made if made not in self.tensors]
        for made, ref in zip(placed, outputs, strict=True):
            self.tensors[made] = ref
            self._foreseen.note(made, ref.shape)

    def misfit(self, plan: CallPlan) -> None:
        """An output of a call has another size than was foreseen: foresee none of its outputs any more."""
        self._foreseen.vary(made for made in plan.made if made in self.tensors and self.tensors[made].foreseen)

    def abort(self) -> None:
        """Make no more frames ahead; have workers wait for nothing more, and pass on nothing more."""
        self._aborted = True
        for flags in self._flags:
            self.arena.view(flags)[ABORT] = 1

    def frame(self, plan: CallPlan) -> bytes:
        """The call's RUN frame, made now unless it was made ahead.

        Raises:
            RequestError: a tensor's shape does not fit the call, as the request's shapes do not fit the plan.
            DeploymentError: the machine has no memory left, or the call has too many tensors.
        """
        return self._ahead.pop(plan.call.id, None) or self._prepared(plan).frame

    def look_ahead(self, plans: Sequence[CallPlan]) -> None:
        """Make frames of calls whose inputs have places already."""
        for plan in plans:
            known = all(made in self.tensors for made in plan.sources)
            if known and plan.call.id not in self._ahead and not self._aborted:
                try:
                    self._ahead[plan.call.id] = self.frame(plan)
                except MoparError:
                    return  # raised again when the call runs

    def sequences(
        self, plans: Sequence[CallPlan], waits: Sequence[Sequence[int]], deadline: float
    ) -> dict[str, bytes] | None:
        """RUN_SEQUENCE for each function of calls that wait for each other.

        Args:
            plans: in an order in which they can run; what they read from other calls has its place already.
            waits: for each, the places in ``plans`` of the calls to wait for.
            deadline: when waiting ends, on the clock of ``time.monotonic``.

        Returns:
            None where an output's size is not foreseen, or the calls are too many for a frame.

        Raises:
            RequestError, DeploymentError: as from ``frame``.
        """
        for plan in plans:
            if plan.call.id not in self._ahead:
                self._ahead[plan.call.id] = self.frame(plan)
            if any((name, plan.call.id) not in self.tensors for name in plan.call.outputs):
                return None
        steps: dict[str, list[Step]] = {}
        for place, (plan, awaited) in enumerate(zip(plans, waits, strict=True)):
            step = Step(self._ahead[plan.call.id], _flag(place), tuple(map(_flag, awaited)))
            steps.setdefault(plan.call.function, []).append(step)
        if _flag(len(plans)) > MAX_FLAGS:
            return None
        flags = self.cleared_flags(_flag(len(plans)))
        deadline_ns = int(min(deadline, _FOREVER_S) * 1e9)
        try:
            return {
                function: pack_sequence(runs, flags.segment, flags.offset, deadline_ns)
                for function, runs in steps.items()
            }
        except ValueError:
            return None

    def chain(self, chain: CallChain) -> PreparedChain:
        """Places and frame of a chain: those of an earlier request in the same way as those of a call.

        Raises:
            RequestError, DeploymentError: as from ``frame``.
        """
        if self._chain_abort is None:
            self._chain_abort = self.cleared_flags(ABORT + 1)
        abort = self._chain_abort
        ahead = tuple(self._ahead.get(plan.call.id) for plan in chain.plans) if self._ahead else ()
        sources = tuple(self.tensors[made] for made in chain.sources)
        homes = self._known_homes(self._homes)
        prepared = self.arena.remember(
            (chain, sources, ahead, abort, homes, *self._known_by()),
            lambda: self._prepare_chain(chain, abort),
        )
        self.tensors.update(prepared.outputs)
        self._ahead.update(prepared.excluded)
        return prepared

    def divide(self, chain: CallChain, prepared: PreparedChain) -> None:
        """Let the calls of a chain run by themselves, at the places that they have."""
        self._ahead.update(zip((plan.call.id for plan in chain.plans), prepared.runs(), strict=False))

    def cleared_flags(self, count: int) -> TensorRef:
        """A place for flags, none of which is set unless all is aborted already."""
        ref = self.arena.place(dtype_of_name("uint8").code, (count,), count)
        self.arena.view(ref)[:] = bytes(count)
        self._flags.append(ref)
        if self._aborted:
            self.abort()
        return ref

    def _known_by(self) -> tuple[Foreseen, int, bool]:
        """What sizes of outputs depend on, beside those of inputs."""
        return self._foreseen, self._foreseen.changes, self.foresees

    def _prepare_chain(self, chain: CallChain, abort: TensorRef) -> PreparedChain:
        runs: list[bytes] = []
        outputs: dict[Made, TensorRef] = {}
        excluded: dict[str, bytes] = {}
        room = MAX_FRAME
        for plan in chain.plans:
            run = self.frame(plan)
            found = {made: self.tensors[made] for made in plan.made if made in self.tensors}
            outputs |= found
            room -= len(run) + CHAIN_BYTES
            if room < 0 or len(found) < len(plan.made):
                excluded[plan.call.id] = run
                break
            runs.append(run)
        if len(runs) < 2:
            excluded |= zip((plan.call.id for plan in chain.plans), runs, strict=False)
            return PreparedChain(0, b"", (), outputs, excluded)
        peers = tuple(self._peers[plan.call.function] for plan in chain.plans[1 : len(runs)])
        frame = runs[-1]
        for run, peer in zip(reversed(runs[:-1]), reversed(peers), strict=True):
            frame = pack_chain(run, peer, frame, abort.segment, abort.offset + ABORT)
        return PreparedChain(len(runs), frame, peers, outputs, excluded)

    def _prepared(self, plan: CallPlan) -> Prepared:
        """Places and frame of a call: those of an earlier request whose inputs had the same places, or new ones."""
        sources = tuple(self.tensors[made] for made in plan.sources)
        homes = self._known_homes(plan.made) if self._homes else ()
        prepared = self.arena.remember(
            (plan.call.id, sources, homes, *self._known_by()), lambda: self._prepare(plan, sources)
        )
        for made, ref in zip(plan.made, prepared.outputs, strict=True):
            if ref.segment != NOWHERE:
                self.tensors[made] = ref
        return prepared

    def _known_homes(self, among: Iterable[Made]) -> tuple[tuple[Made, int, int, int], ...]:
        """The places that the client has for outputs, by numbers alone: what is remembered keeps no memory of its."""
        known = [(made, self._homes[made]) for made in among if made in self._homes]
        return tuple((made, home.segment.number, home.offset, home.nbytes) for made, home in known)

    def _prepare(self, plan: CallPlan, sources: Sequence[TensorRef]) -> Prepared:
        shapes = plan.shapes({made: ref.shape for made, ref in self.tensors.items()})
        inputs = [ref if part is None else region_of(ref, part) for ref, part in zip(sources, plan.taken, strict=True)]
        outputs = self._outputs(plan, shapes)
        try:
            return Prepared(outputs, pack_run(plan.index, inputs, outputs))
        except ValueError as cause:
            raise DeploymentError(f"function {plan.call.function}: {cause}") from cause

    def _outputs(self, plan: CallPlan, shapes: CallShapes) -> list[TensorRef]:
        return [
            self._place(spec, shape, self._homes.get(made)) if shape is not None else self._place_foreseen(made, spec)
            for made, spec, shape in zip(plan.made, plan.graph.outputs, shapes.outputs, strict=True)
        ]

    def _place(self, spec: TensorSpec, shape: Shape | None, home: Place | None) -> TensorRef:
        code = dtype_of_name(spec.dtype).code
        nbytes = None if shape is None else tensor_bytes(spec.dtype, shape)
        if shape is None or nbytes is None:
            return TensorRef(code, (), NOWHERE, 0, 0)
        if home is not None and nbytes <= home.nbytes:
            return self.arena.lent(home, code, shape, nbytes)
        return self.arena.place(code, shape, nbytes)

    def _place_foreseen(self, made: Made, spec: TensorSpec) -> TensorRef:
        shape = self._foreseen.shape(made) if self.foresees else None
        ref = self._place(spec, shape, self._homes.get(made))
        return TensorRef(ref.code, ref.shape, ref.segment, ref.offset, ref.nbytes, ref.segment != NOWHERE)


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
