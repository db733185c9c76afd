"""What the functions of a configuration need, and the allocator that serves a baseline best."""

import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from mopar.gateway.arrays import Array
from mopar.measurement.call_costs import init_ms
from mopar.measurement.policy import LATENCY
from mopar.measurement.recording import record
from mopar.measurement.required_memory import required_memory
from mopar.pipeline.bench.configs import Config
from mopar.pipeline.bench.served import orders
from mopar.planning import with_headroom
from mopar.platforms import host_platform
from mopar.platforms.base import FunctionLaunch
from mopar.profiling import Progress
from mopar.runtime.environment import ALLOCATORS

_NO_SLOWER = 1.02
"""Allocators whose median latency is within this factor of the fastest one's count as equally fast."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a function needs: memory, headroom included, and time from exec to ready with its files read from disk."""

    memory_mib: float
    init_ms: float


@dataclass(frozen=True, slots=True)
class MeasuredConfig:
    """A configuration with what each of its functions needs, by name."""

    config: Config
    needs: Mapping[str, Needs]

    @property
    def memory_mib(self) -> float:
        """Of all functions together."""
        return sum(needs.memory_mib for needs in self.needs.values())


def measured(config: Config, inputs: Mapping[str, Array], progress: Progress) -> MeasuredConfig:
    """Measure a configuration's functions for a request; a baseline with the allocator that serves it best.

    What mopar builds keeps the allocator that it is built for: no packed file needs less with another at the same speed
    (docs/decisions/worker-memory.md).
    """
    if config.plan is not None:
        return with_needs(config, launches_of(config, inputs), progress)
    found = []
    for allocator in ALLOCATORS:
        candidate = with_allocator(config, allocator)
        launches = launches_of(candidate, inputs)
        found.append((with_needs(candidate, launches, progress), launches))
    progress(f"comparing allocators for {config.name}", None)
    latencies_ms = interleaved_ms([launches for _, launches in found])
    return best_of([one for one, _ in found], latencies_ms)


def best_of(candidates: Sequence[MeasuredConfig], latencies_ms: Sequence[float]) -> MeasuredConfig:
    """The candidate of the least memory among those that are as fast as the fastest, to 2%."""
    enough_ms = _NO_SLOWER * min(latencies_ms)
    fast = [one for one, ms in zip(candidates, latencies_ms, strict=True) if ms <= enough_ms]
    return min(fast, key=lambda one: one.memory_mib)


def interleaved_ms(candidates: Sequence[Mapping[str, FunctionLaunch]]) -> list[float]:
    """Median latency of each candidate's functions together, without limits, requests interleaved."""
    samples: list[list[float]] = [[] for _ in candidates]
    with ExitStack() as stack:
        running = [[stack.enter_context(launch.start(None)) for launch in launches.values()] for launches in candidates]
        for number, order in enumerate(orders(len(candidates), LATENCY.warm_rounds + LATENCY.long_rounds)):
            for place in order:
                taken_ms = sum(one.request() for one in running[place])
                if number >= LATENCY.warm_rounds:
                    samples[place].append(taken_ms)
    return [statistics.median(taken) for taken in samples]


def launches_of(config: Config, inputs: Mapping[str, Array]) -> dict[str, FunctionLaunch]:
    """Each function of a configuration with its calls of a request."""
    calls = record(config.bundle, inputs).calls
    return {name: host_platform().launch(config.bundle, name, calls[name]) for name in config.cpus}


def with_needs(config: Config, launches: Mapping[str, FunctionLaunch], progress: Progress) -> MeasuredConfig:
    """Measure what each of its functions needs, and add what its codecs of messages take."""
    needs = {}
    for number, (name, launch) in enumerate(launches.items()):
        progress(f"measuring the memory of {config.name}", number / len(launches))
        required_mib = required_memory(launch, cpu=config.cpus[name]).required_mib
        memory_mib = with_headroom(required_mib + config.codec_mib.get(name, 0.0))
        needs[name] = Needs(memory_mib, init_ms(launch, from_disk=True))
    return MeasuredConfig(config, needs)


def with_allocator(config: Config, allocator: str) -> Config:
    """The configuration with another allocator; its manifest is not written anew."""
    manifest = replace(config.bundle.manifest, allocator=allocator)
    return replace(config, bundle=replace(config.bundle, manifest=manifest))
