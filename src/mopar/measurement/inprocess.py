"""All graphs of a bundle in one process: the engine's time without any hop."""

import statistics
from collections.abc import Mapping
from dataclasses import replace

from mopar.bundle import Bundle
from mopar.gateway.arrays import Array
from mopar.measurement.launch import FunctionRun
from mopar.measurement.recording import RecordedCall, record
from mopar.platforms.local import GraphFile, worker_spec

_ROUNDS = 20


def engine_ms(bundle: Bundle, inputs: Mapping[str, Array], rounds: int = _ROUNDS) -> float:
    """Median engine time of a request whose calls run one after the other in one process, in ms."""
    recording = record(bundle, inputs)
    graphs: list[GraphFile] = []
    calls: list[RecordedCall] = []
    for function in bundle.manifest.plan.functions:
        spec = worker_spec(bundle, function)
        calls += [replace(call, graph=call.graph + len(graphs)) for call in recording.calls[function.name]]
        graphs += spec.graphs
    times = []
    with FunctionRun(replace(spec, graphs=tuple(graphs)), tuple(calls), None) as run:
        for _ in range(rounds + 1):
            run.request()
            times.append(sum(result.compute_ns for result in run.results) / 1e6)
    return statistics.median(times[1:])
