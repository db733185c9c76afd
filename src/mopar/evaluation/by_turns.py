"""What a request takes more of one bundle than of another that computes the same, the two asked by turns."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import uvloop

from mopar.bundle import Bundle
from mopar.gateway.arrays import from_array
from mopar.gateway.runner import Runner
from mopar.platforms.local import LocalDeployment

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


def added_by(one: Bundle, many: Bundle, size: int, *, warm_rounds: int, rounds: int) -> Added:
    """Medians over ``rounds`` requests to each.

    Args:
        one: with one float32 input.
        many: with the same input.
        size: elements of the input.
        warm_rounds: requests before those that count.
        rounds: requests that count.

    Raises:
        PlatformError, EngineError: a worker cannot be run here.
    """
    return uvloop.run(_added(one, many, size, warm_rounds, rounds))


async def _added(one: Bundle, many: Bundle, size: int, warm_rounds: int, rounds: int) -> Added:
    (spec,) = one.manifest.inputs
    array = np.linspace(-1, 1, size, dtype=np.float32).reshape([int(dim or 0) for dim in spec.shape or ()])
    values = {spec.name: from_array(spec.name, array)}
    latency: tuple[list[float], list[float]] = ([], [])
    billed: tuple[list[float], list[float]] = ([], [])
    async with LocalDeployment(one, limits=False) as first, LocalDeployment(many, limits=False) as second:
        runners = Runner(one.manifest, first.functions), Runner(many.manifest, second.functions)
        for number in range(warm_rounds + rounds):
            # Who goes first changes, so that neither always finds what the other left in the caches.
            for i in (0, 1) if number % 2 else (1, 0):
                started = time.perf_counter()
                async with runners[i].infer(values, None, _DEADLINE_S) as answer:
                    elapsed_ms = (time.perf_counter() - started) * 1e3
                    busy_ms = sum(timing.busy_ns for timing in answer.timings) / 1e6
                if number >= warm_rounds:
                    latency[i].append(elapsed_ms)
                    billed[i].append(busy_ms)
        for runner in runners:
            await runner.close()
    return Added(_median_difference(*latency), _median_difference(*billed), statistics.median(latency[0]))


def _median_difference(one: Sequence[float], many: Sequence[float]) -> float:
    """Of neighbours in time: a machine drifts by more than a call costs."""
    return statistics.median(after - before for before, after in zip(one, many, strict=True))
