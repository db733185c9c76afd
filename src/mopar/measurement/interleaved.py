"""Interleaved measurement: where a request's time goes, and what one bundle adds to another that computes the same."""

import contextlib
import math
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np
import uvloop

from mopar.bundle import Bundle
from mopar.gateway.arrays import from_array
from mopar.gateway.executor import Executor
from mopar.measurement.policy import LATENCY
from mopar.platforms import host_platform


@dataclass(frozen=True, slots=True)
class RequestTime:
    """One request, in ms: from the caller's side, and inside each function."""

    latency_ms: float
    inside_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Added:
    """What the second bundle adds to a request, in ms.

    Attributes:
        latency_ms: to the latency.
        billed_ms: to the time inside functions.
    """

    latency_ms: float
    billed_ms: float


def added_by(one: Bundle, many: Bundle, *, rounds: int) -> Added:
    """Medians over ``rounds`` requests to each.

    Args:
        one: with one float32 input, of a fixed shape.
        many: with the same input.
        rounds: requests that count.

    Raises:
        PlatformError, EngineError: a worker cannot be run here.
    """
    return uvloop.run(_added(one, many, rounds))


@dataclass(frozen=True, slots=True)
class Spent:
    """Where a request's time went, in ms: inside each function, and outside them all."""

    inside_ms: tuple[float, ...]
    outside_ms: float


def spent_on(bundle: Bundle, *, rounds: int) -> Spent:
    """Medians over ``rounds`` requests to a bundle with one float32 input, of a fixed shape."""
    return uvloop.run(_spent(bundle, rounds))


async def _spent(bundle: Bundle, rounds: int) -> Spent:
    async with _deployed(bundle) as invoke:
        found = [await invoke() for _ in range(LATENCY.warm_rounds + rounds)][LATENCY.warm_rounds :]
    inside = tuple(statistics.median(times) for times in zip(*(one.inside_ms for one in found), strict=True))
    return Spent(inside, statistics.median(one.latency_ms - sum(one.inside_ms) for one in found))


async def _added(one: Bundle, many: Bundle, rounds: int) -> Added:
    taken: tuple[list[RequestTime], list[RequestTime]] = ([], [])
    async with contextlib.AsyncExitStack() as stack:
        invokes = [await stack.enter_async_context(_deployed(bundle)) for bundle in (one, many)]
        for number in range(LATENCY.warm_rounds + rounds):
            # Who goes first changes, so that neither always finds what the other left in the caches.
            for i in (0, 1) if number % 2 else (1, 0):
                found = await invokes[i]()
                if number >= LATENCY.warm_rounds:
                    taken[i].append(found)
    latency_ms = ([request.latency_ms for request in requests] for requests in taken)
    billed_ms = ([sum(request.inside_ms) for request in requests] for requests in taken)
    return Added(_median_difference(*latency_ms), _median_difference(*billed_ms))


@contextlib.asynccontextmanager
async def _deployed(bundle: Bundle) -> AsyncIterator[Callable[[], Awaitable[RequestTime]]]:
    """A bundle that runs without limits: a call that invokes it once."""
    (spec,) = bundle.manifest.inputs
    shape = [int(dim or 0) for dim in spec.shape or ()]
    values = {spec.name: from_array(spec.name, np.linspace(-1, 1, math.prod(shape), dtype=np.float32).reshape(shape))}
    async with host_platform().start(bundle, limits=False) as deployment:
        executor = Executor(bundle.manifest, deployment.transport())

        async def invoke() -> RequestTime:
            started = time.perf_counter()
            async with executor.infer(values, None, LATENCY.short_call_s) as answer:
                latency_ms = (time.perf_counter() - started) * 1e3
                return RequestTime(latency_ms, tuple(timing.held_ns / 1e6 for timing in answer.timings))

        try:
            yield invoke
        finally:
            await executor.close()


def _median_difference(one: Sequence[float], many: Sequence[float]) -> float:
    """Of neighbours in time: a machine drifts by more than a call costs."""
    return statistics.median(after - before for before, after in zip(one, many, strict=True))
