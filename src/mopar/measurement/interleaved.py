"""What a request takes of a bundle, and what more of one than of another that computes the same, asked by turns."""

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
from mopar.platforms import host_platform

_DEADLINE_S = 10.0


@dataclass(frozen=True, slots=True)
class Added:
    """What the second bundle adds to a request, in ms.

    Attributes:
        latency_ms: to the latency.
        billed_ms: to the time inside functions.
        one_ms: latency of the first.
    """

    latency_ms: float
    billed_ms: float
    one_ms: float


def added_by(one: Bundle, many: Bundle, *, warm_rounds: int, rounds: int) -> Added:
    """Medians over ``rounds`` requests to each.

    Args:
        one: with one float32 input, of a fixed shape.
        many: with the same input.
        warm_rounds: requests before those that count.
        rounds: requests that count.

    Raises:
        PlatformError, EngineError: a worker cannot be run here.
    """
    return uvloop.run(_added(one, many, warm_rounds, rounds))


@dataclass(frozen=True, slots=True)
class Spent:
    """Where a request's time went, in ms: inside each function, and outside them all."""

    inside_ms: tuple[float, ...]
    outside_ms: float


def spent_on(bundle: Bundle, *, warm_rounds: int, rounds: int) -> Spent:
    """Medians over ``rounds`` requests; as ``added_by`` asks its first."""
    return uvloop.run(_spent(bundle, warm_rounds, rounds))


async def _spent(bundle: Bundle, warm_rounds: int, rounds: int) -> Spent:
    async with _asked(bundle) as ask:
        found = [await ask() for _ in range(warm_rounds + rounds)][warm_rounds:]
    inside = tuple(statistics.median(times) for times in zip(*(busy_ms for _, busy_ms in found), strict=True))
    return Spent(inside, statistics.median(elapsed_ms - sum(busy_ms) for elapsed_ms, busy_ms in found))


async def _added(one: Bundle, many: Bundle, warm_rounds: int, rounds: int) -> Added:
    latency: tuple[list[float], list[float]] = ([], [])
    billed: tuple[list[float], list[float]] = ([], [])
    async with contextlib.AsyncExitStack() as stack:
        asked = [await stack.enter_async_context(_asked(bundle)) for bundle in (one, many)]
        for number in range(warm_rounds + rounds):
            # Who goes first changes, so that neither always finds what the other left in the caches.
            for i in (0, 1) if number % 2 else (1, 0):
                elapsed_ms, busy_ms = await asked[i]()
                if number >= warm_rounds:
                    latency[i].append(elapsed_ms)
                    billed[i].append(sum(busy_ms))
    return Added(_median_difference(*latency), _median_difference(*billed), statistics.median(latency[0]))


@contextlib.asynccontextmanager
async def _asked(bundle: Bundle) -> AsyncIterator[Callable[[], Awaitable[tuple[float, list[float]]]]]:
    """A bundle that runs: what asks it once, for the ms of the request and those inside each of its functions."""
    (spec,) = bundle.manifest.inputs
    shape = [int(dim or 0) for dim in spec.shape or ()]
    values = {spec.name: from_array(spec.name, np.linspace(-1, 1, math.prod(shape), dtype=np.float32).reshape(shape))}
    async with host_platform().start(bundle, limits=False) as deployment:
        executor = Executor(bundle.manifest, deployment.transport())

        async def ask() -> tuple[float, list[float]]:
            started = time.perf_counter()
            async with executor.infer(values, None, _DEADLINE_S) as answer:
                elapsed_ms = (time.perf_counter() - started) * 1e3
                return elapsed_ms, [timing.busy_ns / 1e6 for timing in answer.timings]

        try:
            yield ask
        finally:
            await executor.close()


def _median_difference(one: Sequence[float], many: Sequence[float]) -> float:
    """Of neighbours in time: a machine drifts by more than a call costs."""
    return statistics.median(after - before for before, after in zip(one, many, strict=True))
