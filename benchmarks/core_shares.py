"""Gain of dedicated cores: for two threads of an operator, and for parts of a slice, after pauses.

    python -m benchmarks.core_shares [--models minilm,efficientnet-b0] [--parts resnet50] [--json FILE]

Threads: a session with one thread, one with two that are left to the scheduler, one with two on cores of their own, and
one as in functions, which also spin-waits briefly for the next operator; interleaved, each run after a pause. Parts:
the balanced plan of a model, with functions free on all cores and with parts on separate cores, interleaved in rounds
of 15 requests.
"""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort
import uvloop

from benchmarks.common import parser, say_where, spread, table, write_raw
from mopar.bundle import Bundle, build, open_bundle, prepare
from mopar.files import cache_directory
from mopar.gateway.arrays import Array, from_array
from mopar.gateway.executor import Executor
from mopar.pipeline.profile import measure_model
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.platforms.local import LocalDeployment
from mopar.runtime.threads import session_entries, shares_of_cores
from tests.models import materialise, sample_inputs

PAUSES_S = (0.0, 0.02, 0.1)
ROUNDS, WARM = 15, 3
_DEADLINE_S = 60.0
AFFINITIES = "session.intra_op_thread_affinities"


def modes() -> dict[str, tuple[int, list[int], dict[str, str]]]:
    """Of each kind of session: threads, cores of the calling thread, and configuration entries."""
    everywhere = os.sched_getaffinity(0)
    free = sorted(everywhere)
    shares = shares_of_cores(everywhere, 2)
    no_spinning = session_entries([])
    own = session_entries(shares)
    return {
        "one thread": (1, free, no_spinning),
        "two, free": (2, free, no_spinning),
        "two, own cores": (2, shares[0], {**no_spinning, AFFINITIES: own[AFFINITIES]}),
        "two, as in functions": (2, shares[0], own),
    }


def session(path: Path, threads: int, entries: Mapping[str, str]) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    for name, value in entries.items():
        options.add_session_config_entry(name, value)
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


Samples = dict[str, list[tuple[float, float]]]
"""Of each kind of session, wall-clock milliseconds of each run, and CPU milliseconds."""


def threads_of(name: str, pause_s: float) -> Samples:
    """Measure one model after pauses of one length."""
    path, feeds = materialise(name), sample_inputs(name)
    runs: dict[str, tuple[list[int], Callable[[], object]]] = {}
    for label, (threads, cores, entries) in modes().items():
        one = session(path, threads, entries)
        runs[label] = cores, lambda one=one: one.run(None, feeds)  # type: ignore[misc]
    found: Samples = {label: [] for label in runs}
    everywhere = os.sched_getaffinity(0)
    for number in range(WARM + ROUNDS):
        for label, (cores, run) in runs.items():
            os.sched_setaffinity(0, cores)
            time.sleep(pause_s)
            cpu, began = time.process_time(), time.perf_counter()
            run()
            sample = (time.perf_counter() - began) * 1e3, (time.process_time() - cpu) * 1e3
            if number >= WARM:
                found[label].append(sample)
    os.sched_setaffinity(0, everywhere)
    return found


async def latencies_of(
    bundle: Bundle, inputs: Mapping[str, Array], cores: dict[str, tuple[int, ...]] | None
) -> list[float]:
    """Latencies in ms of requests after pauses of 100 ms; ``cores`` overrides the deployment's own choice."""
    values = {name: from_array(name, value) for name, value in inputs.items()}
    found = []
    async with LocalDeployment(bundle, cores=cores) as deployment:
        executor = Executor(bundle.manifest, deployment.transport())
        for _ in range(WARM + ROUNDS):
            await asyncio.sleep(PAUSES_S[-1])
            began = time.perf_counter()
            async with executor.infer(values, None, _DEADLINE_S):
                found.append((time.perf_counter() - began) * 1e3)
        await executor.close()
    return found[WARM:]


def parts_of(name: str) -> tuple[int, dict[str, list[float]]]:
    """Functions of the balanced plan, and its latencies with free functions, and with parts on separate cores."""
    inputs = sample_inputs(name)
    with tempfile.TemporaryDirectory(prefix="mopar-cores-") as folder:
        archive = Path(folder) / "inputs.npz"
        np.savez(archive, allow_pickle=False, **inputs)
        model, profile = measure_model(materialise(name), inputs=archive)
        made = make_plan(profile, PlanOptions(objective="balanced", slo_ms=None))
        build(model, made, Path(folder) / "bundle")
        bundle = prepare(open_bundle(Path(folder) / "bundle"), cache_directory(), lambda _text: None)
        everywhere = tuple(sorted(os.sched_getaffinity(0)))
        free = {function.name: everywhere for function in made.functions}
        found: dict[str, list[float]] = {"free": [], "separate cores": []}
        for _ in range(2):
            found["free"] += uvloop.run(latencies_of(bundle, inputs, free))
            found["separate cores"] += uvloop.run(latencies_of(bundle, inputs, None))
    return len(made.functions), found


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--models", default="minilm,efficientnet-b0", help="models to measure with threads")
    arguments.add_argument("--parts", default="resnet50", help="model to measure in parts")
    options = arguments.parse_args()
    say_where(None)
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("there is only one core: two are needed")
    threads = {name: {pause: threads_of(name, pause) for pause in PAUSES_S} for name in options.models.split(",")}
    rows = [
        (name, f"{1e3 * pause:.0f}", *(_cell(samples) for samples in found.values()))
        for name, pauses in threads.items()
        for pause, found in pauses.items()
    ]
    table(("model", "pause ms", *(f"{label}: ms (CPU ms)" for label in modes())), rows)
    functions, parts = parts_of(options.parts)
    print()
    shown = [(options.parts, str(functions), label, spread(samples).text(".1f")) for label, samples in parts.items()]
    table(("model, balanced", "functions", "parts", "ms, median [middle half]"), shown)
    write_raw(options.json, "core_shares", {"threads": threads, "parts": parts})


def _cell(samples: list[tuple[float, float]]) -> str:
    wall, cpu = (statistics.median(column) for column in zip(*samples, strict=True))
    return f"{wall:.2f} ({cpu:.1f})"


if __name__ == "__main__":
    main()
