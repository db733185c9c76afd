"""All graphs of a bundle in one process: the engine's time without any hop."""

import statistics
from collections.abc import Mapping

from mopar.bundle import Bundle
from mopar.gateway.arrays import Array
from mopar.measurement.policy import LATENCY
from mopar.measurement.recording import record
from mopar.platforms import host_platform


def engine_ms(bundle: Bundle, inputs: Mapping[str, Array], rounds: int = LATENCY.engine_rounds) -> float:
    """Median engine time of a request whose calls run one after the other in one process, in ms."""
    times = []
    with host_platform().launch_whole(bundle, record(bundle, inputs).calls).start(None) as run:
        for _ in range(rounds + 1):
            run.request()
            times.append(sum(timing.compute_ns for timing in run.timings) / 1e6)
    return statistics.median(times[1:])
