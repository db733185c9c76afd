"""Many requests at once through the HTTP gateway, a worker killed in the middle: is all answered, and is all equal?

    python -m benchmarks.soak [--model resnet50] [--requests 1000] [--concurrency 8] [--json FILE]

Three uniform slices are served by `mopar serve`; clients on connections of their own send requests, each with one of
several inputs, and compare every answer with the whole model's. Half-way through, a worker gets SIGKILL while requests
are on their way: each of those must be tried again or answered with an explicit error, and service must go on.
"""

import os
import signal
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.common import met, parser, say_where, spread, table, write_raw
from mopar.bundle import Bundle, build, compare_all, open_bundle
from mopar.evaluation.bench.served import Server
from mopar.evaluation.stages import PlanOptions, make_plan, measure_model
from mopar.evaluation.whole import WholeModel
from mopar.gateway.arrays import Array
from mopar.gateway.client import Client
from mopar.types import MoparError
from tests.models import MODELS, materialise, sample_inputs

INPUTS, SLICES, TIMEOUT_S = 8, 3, 60.0
Question = tuple[Mapping[str, Array], Mapping[str, Array]]


@dataclass
class Tally:
    """What became of the requests; ``sent`` and ``latency_ms`` are by request, in the order of the answers."""

    begun: int = 0
    unequal: int = 0
    killed_at: float | None = None
    sent: list[float] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


def worker_of(gateway: int) -> int:
    """A child of the gateway's process: one of its functions."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended meanwhile
                continue
            if int(fields[1]) == gateway and fields[0] != "Z":
                return int(entry.name)
    raise RuntimeError(f"process {gateway} has no children")


def ask(url: str, questions: list[Question], requests: int, tally: Tally, gateway: int) -> None:
    """One client: send until all requests are begun; whoever begins the middle one kills a worker."""
    with Client(url, timeout_s=TIMEOUT_S) as client:
        while True:
            with tally.lock:
                number, tally.begun = tally.begun, tally.begun + 1
            if number >= requests:
                return
            inputs, want = questions[number % len(questions)]
            if number == requests // 2:
                tally.killed_at = time.perf_counter()
                os.kill(worker_of(gateway), signal.SIGKILL)
            started = time.perf_counter()
            try:
                got = client.infer(inputs)
            except MoparError as error:
                with tally.lock:
                    tally.errors[f"{type(error).__name__}: {error}"] += 1
                continue
            ended = time.perf_counter()
            equal = all(difference.equal for difference in compare_all(got, want))
            with tally.lock:
                tally.sent.append(started)
                tally.latency_ms.append((ended - started) * 1e3)
                tally.unequal += not equal


def counters(url: str) -> dict[str, float]:
    """The gateway's own counts of calls tried again and of workers started again, over all functions."""
    root = url.partition("/v2")[0]
    with urllib.request.urlopen(f"{root}/metrics", timeout=TIMEOUT_S) as response:  # noqa: S310  our own server
        lines = response.read().decode().splitlines()
    found: dict[str, float] = {}
    for line in lines:
        for name in ("retries", "restarts"):
            if line.startswith(f"mopar_function_{name}_total"):
                found[name] = found.get(name, 0.0) + float(line.rpartition(" ")[2])
    return found


def prepared(name: str, folder: Path) -> tuple[Bundle, list[Question]]:
    """Three uniform slices, and questions with the whole model's answers."""
    path = materialise(name)
    values = [sample_inputs(name, seed) for seed in range(INPUTS)]
    np.savez(folder / "inputs.npz", allow_pickle=False, **values[0])
    model, profile = measure_model(path, inputs=folder / "inputs.npz")
    build(model, make_plan(profile, PlanOptions(uniform=SLICES, slo_ms=None)), folder / "bundle")
    whole = WholeModel(path)
    return open_bundle(folder / "bundle"), [(inputs, whole.answer(inputs)) for inputs in values]


def rows_of(
    tally: Tally, requests: int, seconds: float, counted: Mapping[str, float]
) -> Iterator[tuple[str, str, str]]:
    """What happened, and whether that is as it should be."""
    assert tally.killed_at is not None
    answered, refused = len(tally.sent), tally.errors.total()
    after = sum(started > tally.killed_at for started in tally.sent)
    explicit = not any("cannot be reached" in text for text in tally.errors)
    latency = spread(tally.latency_ms)
    yield (
        "answered, or refused with an explicit error",
        f"{answered} + {refused} of {requests}",
        met(answered + refused == requests and explicit),
    )
    yield "answers equal to the whole model's", f"{answered - tally.unequal} of {answered}", met(not tally.unequal)
    yield (
        "calls tried again, workers started again",
        f"{counted['retries']:g}, {counted['restarts']:g}",
        met(counted["restarts"] >= 1),
    )
    yield "answered after the kill", str(after), met(after > requests // 4)
    yield "throughput", f"{answered / seconds:.1f} answers/s over {seconds:.1f} s", ""
    yield "latency ms, p50 / p95 / longest", f"{latency.p50:.1f} / {latency.p95:.1f} / {max(tally.latency_ms):.1f}", ""


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--model", choices=list(MODELS), default="resnet50", help="default: resnet50")
    arguments.add_argument("--requests", type=int, default=1000)
    arguments.add_argument("--concurrency", type=int, default=8)
    options = arguments.parse_args()
    say_where(0)
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="mopar-soak-") as folder:
        bundle, questions = prepared(options.model, Path(folder))
        server = Server(bundle)
        try:
            url = server.client.url
            started = time.perf_counter()
            with ThreadPoolExecutor(options.concurrency) as pool:
                clients = [
                    pool.submit(ask, url, questions, options.requests, tally, server.pid)
                    for _ in range(options.concurrency)
                ]
                for client in clients:
                    client.result()
            seconds = time.perf_counter() - started
            counted = counters(url)
        finally:
            server.stop()
    rows = list(rows_of(tally, options.requests, seconds, counted))
    functions = len(bundle.manifest.plan.functions)
    print(f"{options.model}, {functions} functions, {options.requests} requests, concurrency {options.concurrency}")
    table(("what", "found", ""), rows)
    for text, count in tally.errors.most_common():
        print(f"error, {count} times: {text}")
    document = {"model": options.model, "errors": tally.errors, "latency_ms": tally.latency_ms, "sent_s": tally.sent}
    write_raw(options.json, "soak", {"seed": 0, "killed_s": tally.killed_at, **document, **counted})
    if any(state == met(reached=False) for *_, state in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
