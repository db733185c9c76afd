"""A bundle served on this machine: functions, runner and HTTP server under one owner."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from mopar.bundle import Bundle
from mopar.gateway.http import serve
from mopar.gateway.metrics import FunctionMetrics
from mopar.gateway.runner import DEFAULT_QUEUE, Runner
from mopar.platforms.local import LocalDeployment

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How a bundle is served.

    Attributes:
        host: to listen on.
        port: to listen on; 0 for any that is free.
        name: of the model in the protocol's paths; None for the bundle's own.
        queue: requests that may wait.
        deadline_s: for each request, waiting included.
        max_body_mib: largest request body.
        limits: whether functions run under the plan's limits of memory and CPU.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    name: str | None = None
    queue: int = DEFAULT_QUEUE
    deadline_s: float = 30.0
    max_body_mib: int = 64
    limits: bool = True


async def serve_bundle(
    bundle: Bundle,
    options: ServeOptions,
    shutdown: asyncio.Event,
    on_ready: Callable[[int], None],
    notice: Callable[[str], None] = lambda _text: None,
) -> None:
    """Serve until ``shutdown`` is set; nothing is left running afterwards.

    Raises:
        PlatformError: the port is taken, or a function does not start.
        EngineError: ONNX Runtime refuses a graph.
    """
    registry = CollectorRegistry()
    metrics = FunctionMetrics(registry)

    def restarted(function: str) -> None:
        metrics.restarted(function)
        notice(f"function {function} died and is started again")

    deployment = LocalDeployment(bundle, limits=options.limits, notice=notice, on_restart=restarted)
    async with deployment:
        runner = Runner(
            bundle.manifest, deployment.functions, name=options.name, queue=options.queue, observe=metrics.observe
        )
        try:
            await serve(
                runner,
                options.host,
                options.port,
                registry=registry,
                shutdown=shutdown,
                on_ready=on_ready,
                max_body_bytes=options.max_body_mib * _MIB,
                deadline_s=options.deadline_s,
            )
        finally:
            await runner.close()


@contextlib.asynccontextmanager
async def serving(bundle: Bundle, options: ServeOptions) -> AsyncIterator[int]:
    """Serve in the background of an ``async with`` block, which gets the port."""
    shutdown = asyncio.Event()
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(serve_bundle(bundle, options, shutdown, ready.set_result))
    try:
        await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            await task
        yield ready.result()
    finally:
        shutdown.set()
        await task
