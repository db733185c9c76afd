"""One request taken apart: what every call of a plan gets and gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mopar.bundle import Bundle
from mopar.gateway.arrays import Array, from_array, to_array
from mopar.gateway.request import RequestState, call_plans
from mopar.platforms.local import Arena, CallResult, WorkerProcess, worker_spec
from mopar.runtime import frames
from mopar.types import TensorValue, dtype_of_code

_LOAD_S = 300.0
_CALL_S = 300.0


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """A call's inputs, and its outputs' types and shapes.

    ``graph`` is the index among its function's graphs; ``bound`` says of each output whether its size
    is known beforehand, so that the engine writes it into shared memory itself.
    """

    id: str
    graph: int
    inputs: tuple[TensorValue, ...]
    outputs: tuple[TensorValue, ...]
    bound: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Recording:
    """A request's calls by function, and its answer."""

    calls: Mapping[str, tuple[RecordedCall, ...]]
    outputs: Mapping[str, Array]

    @property
    def bytes(self) -> int:
        """Of all tensors that calls take and give."""
        values = (value for calls in self.calls.values() for call in calls for value in (*call.inputs, *call.outputs))
        return sum(len(value.data) for value in values)


def record(bundle: Bundle, inputs: Mapping[str, Array]) -> Recording:
    """Run one request, function by function, with no limits and one worker at a time per function.

    Raises:
        EngineError, PlatformError: a function cannot be loaded or refuses its inputs.
        RequestError: the inputs do not fit the model.
    """
    manifest = bundle.manifest
    workers: dict[str, WorkerProcess] = {}
    calls: dict[str, list[RecordedCall]] = {function.name: [] for function in manifest.plan.functions}
    state = RequestState(Arena())
    try:
        for function in manifest.plan.functions:
            workers[function.name] = WorkerProcess(worker_spec(bundle, function))
            workers[function.name].load(_LOAD_S)
        state.accept({name: from_array(name, value) for name, value in inputs.items()})
        for plan in call_plans(manifest):
            prepared = state.prepare(plan)
            result = run_call(workers[plan.call.function], prepared.frame, state.arena, _placer(state.arena))
            state.record(plan, result)
            calls[plan.call.function].append(
                RecordedCall(
                    id=plan.call.id,
                    graph=plan.index,
                    inputs=tuple(
                        _kept(state.arena, item.tensor, ref)
                        for item, ref in zip(plan.call.inputs, prepared.inputs, strict=True)
                    ),
                    outputs=tuple(
                        _kept(state.arena, name, state.tensors[name, plan.call.id]) for name in plan.call.outputs
                    ),
                    bound=tuple(place.segment != frames.NOWHERE for place in prepared.outputs),
                )
            )
        dtypes = {spec.name: spec.dtype for spec in manifest.outputs}
        wanted = [(name, dtypes[name], maker) for name, maker in manifest.plan.outputs]
        outputs = {value.name: to_array(value).copy() for value in state.values(wanted)}
    finally:
        for worker in workers.values():
            worker.stop()
        state.arena.close()
    return Recording({name: tuple(found) for name, found in calls.items()}, outputs)


def run_call(
    worker: WorkerProcess,
    frame: bytes,
    arena: Arena,
    home: Callable[[Sequence[frames.TensorRef]], Sequence[frames.TensorRef]],
) -> CallResult:
    """Run one call and wait for it.

    Args:
        worker: of the call's function.
        frame: RUN, with all places in ``arena``, or NOWHERE for outputs whose size is not known.
        arena: where tensors lie.
        home: gives places to the outputs that had none.

    Raises:
        EngineError, PlatformError: the graph refused, or the worker died.
    """
    _share(worker, arena)
    reply = worker.ask(frame, _CALL_S)
    busy_ns, compute_ns, pending = frames.unpack_done(reply)
    placed = home(pending) if pending else ()
    if placed:
        _share(worker, arena)
        busy_ns += frames.unpack_done(worker.ask(frames.pack_fetch(placed), _CALL_S))[0]
    return CallResult(tuple(placed), busy_ns, compute_ns, attempts=1)


def _share(worker: WorkerProcess, arena: Arena) -> None:
    for segment in arena.segments:
        worker.attach(segment)


def _placer(arena: Arena) -> Callable[[Sequence[frames.TensorRef]], Sequence[frames.TensorRef]]:
    return lambda refs: [arena.place(ref.code, ref.shape, ref.nbytes) for ref in refs]


def _kept(arena: Arena, name: str, ref: frames.TensorRef) -> TensorValue:
    return TensorValue(name, dtype_of_code(ref.code).name, ref.shape, bytes(arena.view(ref)))
