"""What each function of a configuration needs, measured alone."""

from collections.abc import Mapping
from dataclasses import dataclass

from mopar.gateway.arrays import Array
from mopar.measurement.call_costs import init_ms
from mopar.measurement.recording import record
from mopar.measurement.required_memory import required_memory
from mopar.pipeline.bench.configs import Config
from mopar.planning import with_headroom
from mopar.platforms import host_platform
from mopar.profiling import Progress


@dataclass(frozen=True, slots=True)
class Needs:
    """What a function needs: memory, headroom included, and time from exec to ready."""

    memory_mib: float
    init_ms: float


def needs_of(config: Config, inputs: Mapping[str, Array], progress: Progress) -> dict[str, Needs]:
    """What each function needs for a request."""
    recording = record(config.bundle, inputs)
    needs = {}
    for number, function in enumerate(config.bundle.manifest.plan.functions):
        share = number / len(config.bundle.manifest.plan.functions)
        progress(f"measuring the memory of {config.name}", share)
        launch = host_platform().launch(config.bundle, function.name, recording.calls[function.name])
        memory_mib = with_headroom(required_memory(launch, cpu=function.cpu).required_mib)
        needs[function.name] = Needs(memory_mib, init_ms(launch, from_disk=True))
    return needs
