"""All functions of a bundle start and stop together."""

import asyncio
import dataclasses
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from mopar.bundle import Bundle
from mopar.limits import resident_memory
from mopar.platforms.local import GraphFile, LocalDeployment, WorkerProcess, WorkerSpec, worker_spec
from mopar.runtime.environment import ALLOCATORS
from mopar.types import EngineError, EngineOptions, PlatformError
from tests.bundle.plans import built
from tests.platforms.local.leftovers import cgroups_of, workers_of

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def bundle(reference: Callable[[str], Path], tmp_path: Path) -> Bundle:
    return built(reference("skip"), tmp_path / "bundle")


@pytest.mark.cgroup
def test_each_function_runs_under_its_own_limit(bundle: Bundle) -> None:
    async def main() -> None:
        async with LocalDeployment(bundle, notice=pytest.fail) as deployment:
            assert deployment.transport().ready()
            pids = {function.pid for function in deployment.functions.values()}
            assert pids == workers_of(os.getpid())
            groups = set(cgroups_of(os.getpid()))
            assert {name.rpartition("-")[2] for name in groups} == {"f0", "f1", "f2"}
        assert not deployment.transport().ready()

    uvloop.run(main())


@pytest.mark.parametrize("allocator", ALLOCATORS)
def test_a_function_has_the_allocator_that_its_bundle_names(bundle: Bundle, allocator: str) -> None:
    named = dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, allocator=allocator))
    with WorkerProcess(worker_spec(named, named.manifest.plan.functions[0])) as worker:
        worker.load(60.0)
        environment = Path(f"/proc/{worker.pid}/environ").read_bytes()
    assert (b"MALLOC_MMAP_THRESHOLD_" in environment) == (allocator == "keeping")


def test_where_one_function_does_not_come_up_none_is_left(bundle: Bundle) -> None:
    (bundle.root / bundle.files_of("f1")[0].relative_to(bundle.root)).write_bytes(b"no model")

    async def main() -> None:
        with pytest.raises(EngineError, match="function f1: "):
            async with LocalDeployment(bundle):
                pass
        assert workers_of(os.getpid()) == set()
        assert cgroups_of(os.getpid()) == []

    uvloop.run(main())


def test_a_start_that_is_cancelled_leaves_nothing(bundle: Bundle) -> None:
    """Ctrl-C while one model loads and the others are ready."""

    async def main() -> None:
        deployment = LocalDeployment(bundle)
        start = asyncio.create_task(deployment.start())
        first, *others = deployment.functions.values()
        while first.pid is None:  # noqa: ASYNC110 - what it waits for is not ours to signal
            await asyncio.sleep(0)
        os.kill(first.pid, signal.SIGSTOP)
        while not all(function.ready() for function in others):  # noqa: ASYNC110 - the same
            await asyncio.sleep(0)
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
        assert workers_of(os.getpid()) == set()
        assert cgroups_of(os.getpid()) == []

    uvloop.run(main())


def test_a_machine_without_cgroups_is_told_once(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything works without limits; there is no notice where no limits were set."""
    monkeypatch.setattr("mopar.platforms.local.deployment.detect_cgroups", lambda: None)
    monkeypatch.setattr("mopar.platforms.local.deployment.why_unavailable", lambda: "nobody may write them")
    notices: list[str] = []

    async def main() -> None:
        async with LocalDeployment(bundle, notice=notices.append) as deployment:
            assert deployment.transport().ready()
        LocalDeployment(bundle, limits=False, notice=pytest.fail)

    uvloop.run(main())
    assert notices == ["functions run without limits of memory and CPU: nobody may write them"]


@pytest.mark.cgroup
def test_a_limit_that_the_kernel_refuses_leaves_no_group(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PlatformError("cgroup: cannot write 1 to memory.max: Invalid argument")

    async def main() -> None:
        deployment = LocalDeployment(bundle)
        monkeypatch.setattr("mopar.limits.cgroup.write_value", refuse)
        for version in ("v1", "v2"):
            monkeypatch.setattr(f"mopar.limits.{version}.write_value", refuse)
        with pytest.raises(PlatformError, match="cannot write"):
            await deployment.start()
        assert cgroups_of(os.getpid()) == []

    uvloop.run(main())


@pytest.fixture
def spec(reference: Callable[[str], Path]) -> WorkerSpec:
    return WorkerSpec("f0", (GraphFile(reference("mlp"), EngineOptions(), ("x",), ("y",)),))


def test_a_worker_is_pinned_to_the_cores_that_it_was_given(spec: WorkerSpec) -> None:
    core = min(os.sched_getaffinity(0))
    with WorkerProcess(dataclasses.replace(spec, cores=(core,))) as worker:
        worker.load(20.0)
        assert os.sched_getaffinity(worker.pid) == {core}
    with pytest.raises(PlatformError, match="function f0 cannot run on cores"):
        WorkerProcess(dataclasses.replace(spec, cores=(4000,)))


def test_a_worker_takes_little_memory(spec: WorkerSpec) -> None:
    """Python, ctypes and ONNX Runtime with a small graph took 13 MiB of anonymous memory, with numpy 28."""
    with WorkerProcess(spec) as worker:
        worker.load(20.0)
        assert resident_memory(worker.pid).anon >> 20 < 20
