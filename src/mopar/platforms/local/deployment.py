"""A bundle running on this machine: a process for each function, under the plan's limits."""

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from mopar.bundle import Bundle
from mopar.limits import Cgroup, Cgroups, detect_cgroups, read_files, why_unavailable
from mopar.platforms.base import Budget, Transport
from mopar.platforms.local.cores import cores_of_parts
from mopar.platforms.local.function import LocalFunction
from mopar.platforms.local.library import engine_library
from mopar.platforms.local.process import GraphFile, WorkerSpec
from mopar.platforms.local.supervisor import Supervisor
from mopar.platforms.local.together import close_all, start_all
from mopar.platforms.local.transport import LocalTransport
from mopar.types import Function, Network, PlatformError

_MIB = 1 << 20
_F = TypeVar("_F", bound=Supervisor[Any])


def worker_spec(bundle: Bundle, function: Function, cores: tuple[int, ...] = ()) -> WorkerSpec:
    """What the worker of a function runs on this machine."""
    graphs = []
    for entry in bundle.graphs_of(function.name):
        path, options = bundle.runnable(entry)
        inputs = tuple(spec.name for spec in entry.inputs)
        outputs = tuple(spec.name for spec in entry.outputs)
        graphs.append(GraphFile(path.resolve(), options, inputs, outputs))
    return WorkerSpec(
        function.name,
        tuple(graphs),
        function.threads,
        cores,
        allocator=bundle.manifest.allocator,
        module=bundle.worker,
    )


class HostDeployment(ABC, Generic[_F]):
    """Starts and stops the functions of a bundle. Use it as an async context manager.

    Args:
        bundle: what to run.
        limits: whether to set limits of memory and CPU; where the machine cannot, ``notice`` is called once.
        cores: function -> cores to pin its process to; by default parts of a slice get cores of their own, and other
            functions are not pinned.
        memory_mib: function -> limit in place of the plan's, for measurements.
        network: to emulate between here and the functions, where the transport can; None for none.
        notice: called with messages for the user, each once.
        on_restart: called with a function's name each time its process is restarted.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        limits: bool = True,
        cores: Mapping[str, tuple[int, ...]] | None = None,
        memory_mib: Mapping[str, int] | None = None,
        network: Network | None = None,
        notice: Callable[[str], None] = lambda _text: None,
        on_restart: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self.bundle = bundle
        self.network = network
        groups = detect_cgroups() if limits else None
        if limits and groups is None:
            notice(f"functions run without limits of memory and CPU: {why_unavailable()}")
        self.limited = groups is not None
        """Whether limits of memory and CPU are set."""
        if groups is not None:
            groups.sweep_stale()
        pinned = {**cores_of_parts(bundle.manifest.plan, os.sched_getaffinity(0)), **(cores or {})}
        self.functions: dict[str, _F] = {}
        for function in bundle.manifest.plan.functions:
            spec = worker_spec(bundle, function, pinned.get(function.name, ()))
            limit = (memory_mib or {}).get(function.name, function.memory_mib)
            make = None if groups is None else _maker(groups, function, limit, bundle.manifest.plan.quota_period_us)
            self.functions[function.name] = self._function(spec, make, on_restart, limit)

    @abstractmethod
    def _function(
        self,
        spec: WorkerSpec,
        make_cgroup: Callable[[], Cgroup] | None,
        on_restart: Callable[[str], None],
        memory_mib: int,
    ) -> _F:
        """The supervisor of a function's process, which is not started yet."""

    @abstractmethod
    def transport(self, budget: Budget | None = None) -> Transport:
        """What carries calls to the functions; ``budget`` bounds the memory of requests."""

    async def start(self) -> None:
        """Start all functions at once; where one fails, none is left.

        Raises:
            EngineError, PlatformError: a function did not come up.
        """
        # The gateway reads the engine's library first, and is charged for it: functions close to their limits would
        # start slowly if each had to read it from disk.
        await asyncio.to_thread(read_files, [engine_library()])
        await start_all(self.functions.values())

    async def close(self) -> None:
        """Stop all functions."""
        await close_all(self.functions.values())

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class LocalDeployment(HostDeployment[LocalFunction]):
    """Functions that are called by frames, with tensors in shared memory."""

    def _function(
        self,
        spec: WorkerSpec,
        make_cgroup: Callable[[], Cgroup] | None,
        on_restart: Callable[[str], None],
        memory_mib: int,
    ) -> LocalFunction:
        return LocalFunction(spec, make_cgroup, on_restart, memory_mib)

    def transport(self, budget: Budget | None = None) -> LocalTransport:
        """What carries calls to the functions."""
        return LocalTransport(self.functions, budget)


def _maker(groups: Cgroups, function: Function, memory_mib: int, period_us: int) -> Callable[[], Cgroup]:
    def make() -> Cgroup:
        cgroup = groups.create(function.name)
        try:
            cgroup.limit(memory_mib * _MIB, function.cpu, period_us)
        except PlatformError:
            cgroup.remove()
            raise
        return cgroup

    return make
