"""A bundle's answers through all of its functions, called as its plan counts calls, and what they take."""

import statistics
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mopar.bundle import Bundle
from mopar.gateway.arrays import Array, from_array, to_array
from mopar.gateway.executor import Executor
from mopar.measurement.policy import LATENCY
from mopar.platforms import host_platform
from mopar.platforms.networks import OVER_HTTP
from mopar.types import Network, Plan, TensorValue

Inputs = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Calls:
    """How functions of this machine are called.

    Attributes:
        transport: to them.
        network: to emulate between, with ``http``.
    """

    transport: str = "local"
    network: Network | None = None

    @property
    def over_http(self) -> bool:
        """Whether functions answer HTTP."""
        return self.transport == "http"

    def __str__(self) -> str:
        """As text, for notes."""
        how = "over HTTP" if self.over_http else "through shared memory"
        return how if self.network is None else f"{how}, behind an emulated network ({self.network})"


@dataclass(frozen=True, slots=True)
class Answered:
    """What requests took, in ms.

    Attributes:
        latency_ms: median.
        held_ms: by function, the median of what its calls in a request took.
        outputs: of the last one.
    """

    latency_ms: float
    held_ms: Mapping[str, float]
    outputs: dict[str, Array]


def calls_of(plan: Plan) -> Calls | None:
    """How calls are made here as a plan counts them, the network that it states included.

    None where they cannot be: behind a network they take what the platform adds to it, which nothing here does.
    """
    if plan.platform == OVER_HTTP:
        return Calls("http", plan.network)
    return Calls() if plan.network is None else None


async def answered(bundle: Bundle, requests: Sequence[Inputs]) -> list[dict[str, Array]]:
    """The answers to requests, by functions without limits."""
    found = []
    async with host_platform().start(bundle, limits=False) as deployment:
        executor = Executor(bundle.manifest, deployment.transport())
        for inputs in requests:
            async with executor.infer(_values(inputs), None, LATENCY.call_s) as answer:
                found.append({value.name: to_array(value).copy() for value in answer.outputs})
        await executor.close()
    return found


async def timed(bundle: Bundle, inputs: Inputs, rounds: int, calls: Calls) -> Answered:
    """At least so many requests, one after the other, to functions under their limits."""
    values = _values(inputs)
    samples: list[float] = []
    held_ms: dict[str, list[float]] = defaultdict(list)
    outputs: dict[str, Array] = {}
    least = LATENCY.settling_requests + rounds
    async with host_platform().start(bundle, transport=calls.transport, network=calls.network) as deployment:
        executor = Executor(bundle.manifest, deployment.transport())
        while len(samples) < least or (sum(samples) < LATENCY.served_ms and len(samples) < LATENCY.served_rounds):
            started = time.perf_counter()
            async with executor.infer(values, None, LATENCY.call_s) as answer:
                samples.append((time.perf_counter() - started) * 1e3)
                outputs = {value.name: to_array(value).copy() for value in answer.outputs}
                for function in {timing.function for timing in answer.timings}:
                    own_ns = [timing.held_ns for timing in answer.timings if timing.function == function]
                    held_ms[function].append(sum(own_ns) / 1e6)
        await executor.close()
    settled = LATENCY.settling_requests
    medians = {name: statistics.median(times[settled:]) for name, times in held_ms.items()}
    return Answered(statistics.median(samples[settled:]), medians, outputs)


def _values(inputs: Inputs) -> dict[str, TensorValue]:
    return {name: from_array(name, value) for name, value in inputs.items()}
