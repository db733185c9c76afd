"""ONNX Runtime's profile: which kernel ran when, for how long, and what it put out."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mopar.files import JSON_ERRORS
from mopar.types import EngineError

_KERNEL_SUFFIX = "_kernel_time"
_RUN = "model_run"
_US_PER_MS = 1000.0


@dataclass(frozen=True, slots=True)
class KernelEvent:
    """One execution of one kernel.

    Attributes:
        node: index of its node in the graph that the session loaded.
        name: of the node.
        operator: its type.
        start_us, duration_us: whole microseconds, rounded down.
        outputs: element type (the engine's name) and shape of each output that is a tensor.
        inputs: the same of its inputs.
        inner: kernel executions inside it (bodies of control flow).
    """

    node: int
    name: str
    operator: str
    start_us: int
    duration_us: int
    outputs: tuple[tuple[str, tuple[int, ...]], ...]
    inputs: tuple[tuple[str, tuple[int, ...]], ...]
    inner: int = 0

    @property
    def duration_ms(self) -> float:
        """Milliseconds, with half of the microsecond that rounding down takes off between none and all of."""
        return (self.duration_us + 0.5) / _US_PER_MS


@dataclass(frozen=True, slots=True)
class Trace:
    """The kernels of each run, those of the outermost graph only, in the order in which they ended."""

    runs: tuple[tuple[KernelEvent, ...], ...]

    @property
    def events_per_run(self) -> int:
        """Kernel executions of the longest run, inner ones included."""
        return max((sum(1 + event.inner for event in run) for run in self.runs), default=0)


class _Args(msgspec.Struct):
    node_index: str = "-1"
    op_name: str = ""
    output_type_shape: list[dict[str, list[int]]] = []
    input_type_shape: list[dict[str, list[int]]] = []


class _Event(msgspec.Struct):
    name: str
    cat: str = ""
    ts: int = 0
    dur: int = 0
    args: _Args = msgspec.field(default_factory=_Args)


def read_trace(path: Path, *, skip_runs: int = 0) -> Trace:
    """Read a profile file of the engine.

    Args:
        path: the JSON file that ONNX Runtime's profiler wrote.
        skip_runs: how many runs at its beginning to leave out.

    Raises:
        EngineError: the file is not such a profile, or the profiler dropped events.
    """
    try:
        events = msgspec.json.decode(path.read_bytes(), type=list[_Event])
    except JSON_ERRORS as cause:
        raise EngineError(f"{path.name}: not a profile as ONNX Runtime writes it: {cause}") from cause
    runs: list[tuple[KernelEvent, ...]] = []
    current: list[_Event] = []
    for event in events:
        if event.cat == "Node" and event.name.endswith(_KERNEL_SUFFIX):
            current.append(event)
        elif event.cat == "Session" and event.name == _RUN:
            runs.append(_outermost(current))
            current = []
    return Trace(tuple(runs[skip_runs:]))


def _outermost(events: Iterable[_Event]) -> tuple[KernelEvent, ...]:
    """Drop what ran inside another kernel.

    An event is written when its kernel ends, so a body's events stand before their parent's, and start
    after it. An event is inner where one that is written later started before it. Two events with the
    same start are neighbours: a control-flow kernel needs more than a microsecond to enter its body.
    """
    outermost: list[tuple[_Event, int]] = []
    for event in events:
        inner = 0
        while outermost and outermost[-1][0].ts > event.ts:
            inner += 1 + outermost.pop()[1]
        outermost.append((event, inner))
    return tuple(_kernel(event, inner) for event, inner in outermost)


def _kernel(event: _Event, inner: int) -> KernelEvent:
    return KernelEvent(
        node=int(event.args.node_index),
        name=event.name.removesuffix(_KERNEL_SUFFIX),
        operator=event.args.op_name,
        start_us=event.ts,
        duration_us=event.dur,
        outputs=_typed_shapes(event.args.output_type_shape),
        inputs=_typed_shapes(event.args.input_type_shape),
        inner=inner,
    )


def _typed_shapes(entries: list[dict[str, list[int]]]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((dtype, tuple(shape)) for entry in entries for dtype, shape in entry.items())
