"""Concurrent requests of mixed sizes, also while workers are killed: are all answered, and all outputs equal?

    python -m benchmarks.soak [--models symbolic,silero-vad,minilm] [--requests 10000] [--concurrency 16] [--json FILE]

Each model is served by `mopar serve` in slices of equal time, in slices whose parts compute in parallel, and in slices
again while a worker gets SIGKILL every second. Clients on separate connections share the requests; each has one of many
sizes within the planned range, and every output is compared with the reference model's. A request whose worker dies
must be retried, or answered with an error that says so; without kills every request must succeed.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.common import counters, met, parser, say_where, spread, table, write_raw
from benchmarks.load import Question, Tally, ask, killing
from mopar.bundle import Bundle, build, open_bundle
from mopar.gateway.arrays import Array
from mopar.pipeline.bench.served import Server
from mopar.pipeline.profile import predict_model
from mopar.pipeline.reference import ReferenceModel
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.types import Plan, Profile
from tests.models import materialise

QUESTIONS, SLICES = 32, 3
SLOWER = 1000.0
SHARE_ANSWERED = 0.99
RANGES: Mapping[str, Mapping[str, str]] = {
    "symbolic": {"x": "1..8x1..16..64x16"},
    "silero-vad": {"input": "1..8..24x576"},
    "minilm": {"input_ids": "1..4x1..32..96"},
}
"""The models, each with the sizes of its inputs; other models have fixed sizes."""
KINDS = ("slices", "parts", "slices, workers killed")
TOO_SMALL_FOR_PARTS = ("symbolic",)


@dataclass(frozen=True)
class Scenario:
    """A model in one kind of plan, and its load."""

    model: str
    kind: str
    requests: int
    concurrency: int

    @property
    def kills(self) -> bool:
        """Whether workers are killed meanwhile."""
        return "killed" in self.kind


def workers_of(gateway: int) -> list[int]:
    """Process ids of the gateway's workers: its children."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it exited meanwhile
                continue
            if int(fields[1]) == gateway and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def next_worker(gateway: int, number: int) -> int | None:
    """The process id of the gateway's worker that is killed as the ``number``-th; None while there is none."""
    workers = workers_of(gateway)
    return workers[number % len(workers)] if workers else None


def planned(profile: Profile, kind: str) -> Plan:
    """Slices of equal time; or the fastest plan in parts, for slow layers and free calls."""
    if kind != "parts":
        return make_plan(profile, PlanOptions(uniform=SLICES, slo_ms=None))
    layers = tuple(replace(layer, latency_ms=layer.latency_ms * SLOWER) for layer in profile.layers)
    whole = replace(profile.whole, latency_ms=profile.whole.latency_ms * SLOWER)
    slow = replace(profile, layers=layers, whole=whole, machine=replace(profile.machine, cores=2))
    return make_plan(slow, PlanOptions(objective="latency", max_parts=2))


def drawn(profile: Profile, random: np.random.Generator) -> dict[str, Array]:
    """A request of random sizes within the range; a dimension has the same size in every input that has it."""
    sizes: dict[str, int] = {}
    values: dict[str, Array] = {}
    for spec, known in zip(profile.inputs, profile.ranges, strict=True):
        shape = []
        for axis, (low, high) in enumerate(zip(known.smallest, known.largest, strict=True)):
            dim = (spec.shape or ())[axis] if spec.shape else None
            size = int(random.integers(max(low, min(1, high)), high + 1))
            shape.append(sizes.setdefault(dim, size) if isinstance(dim, str) else size)
        if "mask" in spec.name:
            values[spec.name] = np.ones(shape, spec.dtype)
        elif spec.dtype.startswith("int"):
            values[spec.name] = random.integers(0, 2, shape).astype(spec.dtype)
        else:
            values[spec.name] = random.standard_normal(shape).astype(spec.dtype)
    return values


def prepared(scenario: Scenario, folder: Path) -> tuple[Bundle, list[Question]]:
    """Build a scenario's bundle, and requests of mixed sizes with the reference model's outputs."""
    path = materialise(scenario.model)
    model, profile = predict_model(path, shapes=RANGES[scenario.model])
    plan = planned(profile, scenario.kind)
    if scenario.kind == "parts" and not any(graph.part is not None for graph in plan.graphs):
        raise RuntimeError(f"{scenario.model}: no plan with parallel functions was found")
    build(model, plan, folder / "bundle")
    reference, random = ReferenceModel(path), np.random.default_rng(0)
    questions = [drawn(profile, random) for _ in range(QUESTIONS)]
    return open_bundle(folder / "bundle"), [(inputs, reference.infer(inputs)) for inputs in questions]


def soak(scenario: Scenario) -> Tally:
    """Serve a scenario's bundle and send all requests."""
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="mopar-soak-") as folder:
        bundle, questions = prepared(scenario, Path(folder))
        tally.functions = len(bundle.manifest.plan.functions)
        server = Server(bundle)
        try:
            with killing(partial(next_worker, server.pid), tally) if scenario.kills else contextlib.nullcontext():
                started = time.perf_counter()
                with ThreadPoolExecutor(scenario.concurrency) as pool:
                    clients = [
                        pool.submit(ask, server.client.url, questions, scenario.requests, tally)
                        for _ in range(scenario.concurrency)
                    ]
                    for client in clients:
                        client.result()
                tally.seconds = time.perf_counter() - started
                counted = counters(server.client.url)
        finally:
            server.stop()
    tally.retries, tally.restarts = counted["retries"], counted["restarts"]
    return tally


def holds(scenario: Scenario, tally: Tally) -> bool:
    """Whether no output is wrong and no request unanswered; without kills, also that none failed and no worker died."""
    explicit = not any("cannot be reached" in text for text in tally.errors)
    if tally.unequal or tally.answered + tally.errors.total() != scenario.requests or not explicit:
        return False
    if scenario.kills:
        # The last kill may have come after the last counter was read.
        return tally.restarts >= tally.kills - 1 >= 0 and tally.answered >= SHARE_ANSWERED * scenario.requests
    return not tally.errors and not tally.restarts


def row(scenario: Scenario, tally: Tally) -> tuple[str, ...]:
    latency = spread(tally.latency_ms)
    return (
        scenario.model,
        scenario.kind,
        str(tally.functions),
        f"{tally.answered} of {scenario.requests}",
        str(tally.unequal),
        str(tally.errors.total()),
        f"{tally.kills}, {tally.restarts:g}, {tally.retries:g}",
        f"{latency.p50:.1f} / {latency.p95:.1f} / {max(tally.latency_ms):.0f}",
        f"{tally.answered / tally.seconds:.0f}",
        met(holds(scenario, tally)),
    )


def scenarios(options: argparse.Namespace) -> Iterator[Scenario]:
    for model in options.models.split(","):
        for kind in KINDS:
            if kind != "parts" or model not in TOO_SMALL_FOR_PARTS:
                yield Scenario(model, kind, options.requests, options.concurrency)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--models", default=",".join(RANGES), help=f"of {', '.join(RANGES)}")
    arguments.add_argument("--requests", type=int, default=10_000, help="to each model in each kind of plan")
    arguments.add_argument("--concurrency", type=int, default=16)
    options = arguments.parse_args()
    say_where(0)
    found: list[tuple[Scenario, Tally]] = []
    for scenario in scenarios(options):
        found.append((scenario, soak(scenario)))
        print(" | ".join(row(*found[-1])), flush=True)
    print()
    columns = ("model", "plan", "functions", "answered", "wrong", "refused", "killed, started, tried again",
               "ms p50 / p95 / longest", "answers/s", "")  # fmt: skip
    table(columns, [row(*one) for one in found])
    for scenario, tally in found:
        for text, count in tally.errors.most_common():
            print(f"{scenario.model}, {scenario.kind}: error, {count} times: {text}")
    document = {f"{one.model}, {one.kind}": {"errors": tally.errors, "latency_ms": tally.latency_ms}
                for one, tally in found}  # fmt: skip
    write_raw(options.json, "soak", {"seed": 0, "scenarios": document})
    if not all(holds(*one) for one in found):
        sys.exit(1)


if __name__ == "__main__":
    main()
