"""A worker started alone, outside a deployment, with the calls of a recorded request. Blocking."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from mopar.bundle import Bundle
from mopar.limits import Cgroup
from mopar.platforms.base import CallTiming, RecordedCall
from mopar.platforms.local.arena import Arena
from mopar.platforms.local.deployment import worker_spec
from mopar.platforms.local.process import GraphFile, WorkerSpec
from mopar.platforms.local.worker import WorkerProcess
from mopar.runtime import frames
from mopar.runtime.frames import NOWHERE, TensorRef
from mopar.types import TensorValue, dtype_of_name

_LOAD_S = 300.0
_CALL_S = 300.0


@dataclass(frozen=True, slots=True)
class WorkerLaunch:
    """How a worker is started, and the calls that it runs.

    Attributes:
        spec: what it runs.
        calls: of one request, as recorded.
        files: what it reads, evicted from the page cache before every start.
    """

    spec: WorkerSpec
    calls: tuple[RecordedCall, ...]
    files: tuple[Path, ...]

    @classmethod
    def of(cls, bundle: Bundle, function: str, calls: Sequence[RecordedCall]) -> Self:
        """Of a bundle's function, as it runs on this machine."""
        (found,) = (item for item in bundle.manifest.plan.functions if item.name == function)
        return cls(worker_spec(bundle, found), tuple(calls), bundle.files_of(function))

    @classmethod
    def of_whole(cls, bundle: Bundle, calls: Mapping[str, Sequence[RecordedCall]]) -> Self:
        """Of all functions of a bundle in one process: their graphs one after the other, and so their calls."""
        graphs: list[GraphFile] = []
        numbered: list[RecordedCall] = []
        files: list[Path] = []
        for function in bundle.manifest.plan.functions:
            spec = worker_spec(bundle, function)
            numbered += [replace(call, graph=call.graph + len(graphs)) for call in calls[function.name]]
            graphs += spec.graphs
            files += bundle.files_of(function.name)
        return cls(replace(spec, graphs=tuple(graphs)), tuple(numbered), tuple(files))

    def start(self, cgroup: Cgroup | None) -> "WorkerRun":
        """Exec inside ``cgroup`` and load."""
        return WorkerRun(self.spec, self.calls, cgroup)


class WorkerRun:
    """A loaded worker, with the tensors of its calls in shared memory."""

    def __init__(self, spec: WorkerSpec, calls: Sequence[RecordedCall], cgroup: Cgroup | None) -> None:
        self._function = spec.function
        self._arena = Arena()
        self._worker = WorkerProcess(spec, cgroup)
        self._timings: list[CallTiming] = []
        try:
            self._worker.load(_LOAD_S)
            self._calls = [self._placed(call) for call in calls]
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The worker's process."""
        return self._worker.pid

    @property
    def timings(self) -> Sequence[CallTiming]:
        """Of the last request's calls."""
        return self._timings

    def request(self) -> float:
        """Run the calls of one request; ms from sending the first frame to receiving the last answer."""
        started = time.perf_counter()
        self._timings = [self._run(call) for call in self._calls]
        return (time.perf_counter() - started) * 1e3

    def close(self) -> None:
        """End the process and release its shared memory."""
        self._worker.stop()
        self._arena.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, call: "_PlacedCall") -> CallTiming:
        for segment in self._arena.segments:
            self._worker.attach(segment)
        held_ns, compute_ns, pending = frames.unpack_done(self._worker.ask(call.frame, _CALL_S))
        if pending:
            held_ns += frames.unpack_done(self._worker.ask(frames.pack_fetch(call.homes), _CALL_S))[0]
        return CallTiming(call.id, self._function, held_ns, compute_ns, attempts=1)

    def _placed(self, call: RecordedCall) -> "_PlacedCall":
        inputs = []
        for value in call.inputs:
            ref = self._place(value)
            self._arena.view(ref)[:] = value.data
            inputs.append(ref)
        outputs = [self._place(value) for value in call.outputs]
        places = [
            home if bound else TensorRef(home.code, (), NOWHERE, 0, 0)
            for home, bound in zip(outputs, call.bound, strict=True)
        ]
        homes = [home for home, bound in zip(outputs, call.bound, strict=True) if not bound]
        return _PlacedCall(call.id, frames.pack_run(call.graph, inputs, places), homes)

    def _place(self, value: TensorValue) -> TensorRef:
        return self._arena.place(dtype_of_name(value.dtype).code, value.shape, len(value.data))


@dataclass(frozen=True, slots=True)
class _PlacedCall:
    """A recorded call in shared memory; ``homes`` are where outputs end up whose size is not known before the run."""

    id: str
    frame: bytes
    homes: list[TensorRef]
