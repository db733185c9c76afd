"""A bundle served on this machine: functions, executor and HTTP server under one owner."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from mopar.bundle import Bundle
from mopar.bundle.call_plans import call_plans
from mopar.bundle.single_call import single_call
from mopar.files import cache_directory
from mopar.gateway.budget import MemoryBudget
from mopar.gateway.executor import Executor
from mopar.gateway.footprint import Footprint
from mopar.gateway.http import HttpLimits, access_for, is_loopback, serve
from mopar.gateway.metrics import FunctionMetrics
from mopar.gateway.options import ServeOptions
from mopar.gateway.prometheus import Registry
from mopar.gateway.regions import Regions
from mopar.gateway.token import read_token
from mopar.machine import available_bytes
from mopar.platforms import host_platform
from mopar.platforms.base import Deployment
from mopar.platforms.endpoints import read_endpoints
from mopar.platforms.remote import functions_elsewhere
from mopar.types import Manifest, TensorValue

_MIB = 1 << 20
_SHARE_OF_ONE = 4
"""One request may take this part of what all may, where it is not known what the largest takes."""


async def serve_bundle(
    bundle: Bundle,
    options: ServeOptions,
    shutdown: asyncio.Event,
    on_ready: Callable[[int], None],
    notice: Callable[[str], None] = lambda _text: None,
) -> None:
    """Pack what is not packed for this machine, and serve until ``shutdown`` is set.

    Raises:
        UsageError, PlatformError, EngineError: as ``serve_settled`` raises.
    """
    from mopar.bundle import prepare  # needs onnx, which a process that only serves does not

    prepared = await asyncio.to_thread(prepare, bundle, cache_directory(), notice)
    await serve_settled(prepared, options, shutdown, on_ready, notice)


async def serve_settled(
    bundle: Bundle,
    options: ServeOptions,
    shutdown: asyncio.Event,
    on_ready: Callable[[int], None],
    notice: Callable[[str], None] = lambda _text: None,
) -> None:
    """Serve a bundle as it is until ``shutdown`` is set; nothing is left running afterwards.

    Raises:
        UsageError: the token file cannot be used.
        PlatformError: the port is taken, or a function does not start.
        EngineError: ONNX Runtime refuses a graph.
    """
    token = None if options.token_file is None else read_token(options.token_file)
    registry = Registry()
    metrics = FunctionMetrics(registry)

    def restarted(function: str) -> None:
        metrics.restarted(function)
        notice(f"function {function} died and is started again")

    def listening(port: int) -> None:
        if token is None and not is_loopback(options.host):
            notice(f"whoever reaches {options.host} may use the model: ask for a token with --token-file")
        on_ready(port)

    budget = memory_budget(bundle.manifest, options)
    started: Deployment
    manifest = bundle.manifest
    concurrency = len(manifest.plan.functions) + 1
    if options.functions is not None:
        endpoints = read_endpoints(options.functions, manifest)
        manifest = single_call(manifest, endpoints.entry) if endpoints.entry else manifest
        concurrency = max(concurrency, endpoints.concurrency)
        started = functions_elsewhere(endpoints, manifest, restarted)
    else:
        started = host_platform().start(
            bundle,
            limits=options.limits,
            transport=options.transport,
            network=options.network,
            notice=notice,
            on_restart=restarted,
        )
    async with started as deployment:
        executor = Executor(
            manifest,
            deployment.transport(budget),
            name=options.name,
            concurrency=concurrency,
            queue=options.queue,
            limited=deployment.limited and manifest is bundle.manifest,
            budget=budget,
            observe=metrics.observe,
        )
        try:
            await serve(
                executor,
                options.host,
                options.port,
                registry=registry,
                shutdown=shutdown,
                on_ready=listening,
                deadline_s=options.deadline_s,
                limits=_limits(options),
                access=access_for(options.host, options.allow_hosts, token),
                regions=Regions(budget),
            )
        finally:
            await executor.close()


def _limits(options: ServeOptions) -> HttpLimits:
    return HttpLimits(max_body_bytes=options.max_body_mib * _MIB, max_json_bytes=options.max_json_mib * _MIB)


def memory_budget(manifest: Manifest, options: ServeOptions) -> MemoryBudget:
    """What requests may take of shared memory, by the options, the plan and the machine."""
    total = options.max_memory_mib * _MIB if options.max_memory_mib is not None else available_bytes() // 2
    request = total // _SHARE_OF_ONE
    ranges = manifest.plan.ranges
    if options.max_request_mib is not None:
        request = options.max_request_mib * _MIB
    elif len(ranges) == len(manifest.inputs):
        dtypes = {spec.name: spec.dtype for spec in manifest.inputs}
        largest = {item.name: TensorValue(item.name, dtypes[item.name], item.largest, b"") for item in ranges}
        request = max(request, Footprint(call_plans(manifest)).bytes_of(largest) + _MIB)
    return MemoryBudget(min(request, total), total)


@contextlib.asynccontextmanager
async def serving(bundle: Bundle, options: ServeOptions) -> AsyncIterator[int]:
    """Serve in the background of an ``async with`` block, which gets the port."""
    shutdown, started = asyncio.Event(), asyncio.Event()
    ports: list[int] = []

    def ready(port: int) -> None:
        ports.append(port)
        started.set()

    service = asyncio.create_task(serve_bundle(bundle, options, shutdown, ready))
    waiting = asyncio.create_task(started.wait())
    try:
        await asyncio.wait({service, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not ports:
            await service  # raises what kept it from starting
        yield ports[0]
    finally:
        waiting.cancel()
        shutdown.set()
        await service
