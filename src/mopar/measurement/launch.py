"""A function of a bundle, as the measurement of required memory starts and asks it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mopar.bundle import Bundle
from mopar.limits import Cgroup
from mopar.measurement.recording import RecordedCall, run_call
from mopar.platforms.local import Arena, CallResult, WorkerProcess, WorkerSpec, worker_spec
from mopar.runtime.frames import NOWHERE, TensorRef, pack_run
from mopar.types import Function, TensorValue, dtype_of_name

_LOAD_S = 300.0


@dataclass(frozen=True, slots=True)
class FunctionLaunch:
    """How one function is started, alone, and given its calls of one recorded request.

    Attributes:
        spec: what its worker runs.
        calls: the function's, as recorded.
        files: what the worker reads, to be found outside the page cache at every start.
    """

    spec: WorkerSpec
    calls: tuple[RecordedCall, ...]
    files: tuple[Path, ...]

    @classmethod
    def of(cls, bundle: Bundle, function: Function, calls: tuple[RecordedCall, ...]) -> Self:
        """Of a bundle's function, as it runs on this machine."""
        return cls(worker_spec(bundle, function), calls, bundle.files_of(function.name))

    def start(self, cgroup: Cgroup | None) -> "FunctionRun":
        """Exec inside ``cgroup`` and load."""
        return FunctionRun(self.spec, self.calls, cgroup)


class FunctionRun:
    """A function's process with its tensors in place."""

    def __init__(self, spec: WorkerSpec, calls: tuple[RecordedCall, ...], cgroup: Cgroup | None) -> None:
        self._arena = Arena()
        self._worker = WorkerProcess(spec, cgroup)
        self.results: list[CallResult] = []
        """Of the last request, one per call."""
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

    def request(self) -> float:
        """Run the function's calls of one request; ms from the first frame out to the last answer in."""
        started = time.perf_counter()
        self.results = [run_call(self._worker, call.frame, self._arena, call.home) for call in self._calls]
        return (time.perf_counter() - started) * 1e3

    def close(self) -> None:
        """End the process and give its shared memory back."""
        self._worker.stop()
        self._arena.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
        return _PlacedCall(pack_run(call.graph, inputs, places), homes)

    def _place(self, value: TensorValue) -> TensorRef:
        return self._arena.place(dtype_of_name(value.dtype).code, value.shape, len(value.data))


@dataclass(frozen=True, slots=True)
class _PlacedCall:
    """A recorded call in shared memory; ``homes`` are where outputs end up whose size is not known before the run."""

    frame: bytes
    homes: list[TensorRef]

    def home(self, _sizes: Sequence[TensorRef]) -> list[TensorRef]:
        """The places of outputs that had none."""
        return self.homes
