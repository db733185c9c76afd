"""The gateway as a process: its workers end with it, whether it exits or is killed."""

import asyncio
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from mopar.bundle import Bundle
from mopar.gateway.client import infer
from mopar.gateway.options import ServeOptions
from mopar.limits import detect_cgroups, why_unavailable
from mopar.pipeline.serve import serve_bundle, serving
from mopar.platforms.local import LocalDeployment
from mopar.types import PlatformError
from tests.bundle.manifests import built_elsewhere
from tests.bundle.plans import built
from tests.graph.composed import assert_equal, run_file
from tests.models import sample_inputs
from tests.platforms.local.leftovers import cgroups_of, is_dead, workers_of

pytestmark = pytest.mark.usefixtures("nothing_left")

PATIENCE_S = 30.0


@pytest.fixture
def bundle(reference: Callable[[str], Path], tmp_path: Path) -> Bundle:
    return built(reference("skip"), tmp_path / "bundle")


@contextlib.contextmanager
def gateway(bundle: Bundle, *options: str) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """``mopar serve`` as a process, and the model's address."""
    command = [sys.executable, "-m", "mopar", "serve", str(bundle.root), "--port", "0", "--json", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            text = ""
            while not text.endswith("}\n"):
                line = process.stdout.readline().decode()
                assert line, "the gateway ended before it was ready"
                text += line
            yield process, json.loads(text)["url"]
        finally:
            process.kill()


def wait_for_end(pid: int) -> None:
    """Wait until a process, of any parent, has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended = select.poll()
        ended.register(handle, select.POLLIN)
        assert ended.poll(PATIENCE_S * 1e3), f"process {pid} lives on"
    finally:
        os.close(handle)


@pytest.mark.parametrize("transport", ["local", "http"])
def test_a_gateway_that_is_killed_takes_its_workers_with_it(
    bundle: Bundle, reference: Callable[[str], Path], transport: str
) -> None:
    """What it could not remove is removed at the next start."""
    feeds = sample_inputs("skip")
    with gateway(bundle, "--transport", transport) as (process, url):
        assert_equal(infer(url, feeds), run_file(reference("skip"), feeds), "served")
        workers = workers_of(process.pid)
        assert len(workers) == 3
        limited = detect_cgroups() is not None
        assert bool(cgroups_of(process.pid)) == limited, why_unavailable()
        process.kill()
        process.wait(PATIENCE_S)
        for worker in workers:
            wait_for_end(worker)
        LocalDeployment(bundle)
        assert cgroups_of(process.pid) == []


@pytest.mark.parametrize("transport", ["local", "http"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_gateway_that_is_told_to_end_leaves_nothing(bundle: Bundle, number: signal.Signals, transport: str) -> None:
    with gateway(bundle, "--transport", transport) as (process, _):
        workers = workers_of(process.pid)
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr is not None
        assert not {b"Traceback", b"Error", b"error:"} & set(process.stderr.read().split())
        assert all(is_dead(worker) for worker in workers)
        assert cgroups_of(process.pid) == []


def test_a_bundle_of_another_machine_is_packed_and_served(
    bundle: Bundle, reference: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    strange, feeds = built_elsewhere(bundle), sample_inputs("skip")

    async def main() -> None:
        async with serving(strange, ServeOptions(port=0, limits=False)) as port:
            got = await asyncio.to_thread(infer, f"http://127.0.0.1:{port}", feeds)
        assert_equal(got, run_file(reference("skip"), feeds), "packed")

    uvloop.run(main())
    assert list((tmp_path / "mopar" / "packed").glob("*/*/packed.json"))


def test_a_port_in_use_is_one_line_and_leaves_nothing(bundle: Bundle) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(PlatformError, match=str(port)):
                async with serving(bundle, ServeOptions(port=port, limits=False)):
                    pass

    uvloop.run(main())


def test_restarts_are_told(bundle: Bundle) -> None:
    """As a notice to the operator, and to Prometheus."""
    notices: list[str] = []

    async def main() -> None:
        shutdown, ready, notified = asyncio.Event(), asyncio.Event(), asyncio.Event()
        options = ServeOptions(port=0, limits=False)

        def notice(text: str) -> None:
            notices.append(text)
            notified.set()

        service = asyncio.create_task(serve_bundle(bundle, options, shutdown, lambda _port: ready.set(), notice))
        async with asyncio.timeout(PATIENCE_S):
            await ready.wait()
            os.kill(max(workers_of(os.getpid())), signal.SIGKILL)
            await notified.wait()
        shutdown.set()
        await service

    uvloop.run(main())
    assert len(notices) == 1
    assert notices[0].endswith("died and is started again")
