"""A gateway under attack by a hostile client: does it stay up, responsive, correct, and within its memory?

    python -m benchmarks.attack [--requests 10000] [--seconds 60] [--connections 600] [--concurrency 8] [--json FILE]

`mopar serve` serves the model `symbolic` in slices, and `silero-vad` in slices whose parts compute in parallel. It
receives fuzzed requests while outputs of good ones are compared with the reference model's; JSON just under the size
limit; clients that send a byte a second; many connections from one address; and a worker gets SIGKILL every second. A
separate process polls the health endpoint meanwhile. At the end, gateway and workers must hold as much memory as
before.
"""

import argparse
import multiprocessing
import random
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.attack_requests import Attack, answered, head, large_json, meaning, mutated, sent
from benchmarks.common import met, parser, say_where, table, write_raw
from benchmarks.load import Question, Tally, ask, ask_for, killing
from benchmarks.soak import Scenario, next_worker, prepared, workers_of
from mopar.bundle import compare_all
from mopar.gateway.client import Client
from mopar.limits import resident_memory
from mopar.pipeline.bench.served import Server
from mopar.pipeline.reference import ReferenceModel
from mopar.types import InputError
from tests.models import materialise

MODELS = {"slices": "symbolic", "parts": "silero-vad"}
OTHER = "127.0.0.2"
PATIENCE_S, DRIP_S, QUIET_S, JSON_LIMIT = 60.0, 1.0, 3.0, 8 << 20
HEALTH_MS, GROWN_MIB, SHARE_ANSWERED = 50.0, 5.0, 0.99
GOOD_EVERY, WARM, SLOW_CLIENTS = 20, 200, 20
_MIB = 1 << 20


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    attack: str
    found: str
    holds: bool


@dataclass
class Fuzzed:
    """Results of hostile requests."""

    count: int = 0
    hung: int = 0
    unanswered: int = 0
    wrong: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def failed(self) -> int:
        """Responses that show that something broke."""
        return sum(count for status, count in self.statuses.items() if status >= 500 and status != 503)

    def row(self, attack: str) -> Row:
        """Format the results as a row."""
        statuses = ", ".join(f"{count} x {status}" for status, count in sorted(self.statuses.items()))
        text = f"{statuses}; {self.hung} hung, {self.unanswered} unanswered, {len(self.wrong)} wrong"
        return Row(attack, text, not (self.hung or self.unanswered or self.wrong or self.failed))


def probe(port: int, pipe: Connection) -> None:
    """Poll the health endpoint until told to stop; then send its latencies and this process's own delays, in ms."""
    request = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    times, late = [], 0.0
    wire = socket.create_connection(("127.0.0.1", port), PATIENCE_S, (OTHER, 0))
    pipe.send("ready")
    while not pipe.poll():
        before = time.perf_counter()
        time.sleep(0.005)
        began = time.perf_counter()
        late = max(late, (began - before - 0.005) * 1e3)
        wire.sendall(request)
        assert wire.recv(1 << 16).startswith(b"HTTP/1.1 200")
        times.append((time.perf_counter() - began) * 1e3)
    pipe.send((times, late))


@contextmanager
def probed(port: int, rows: list[Row], during: str) -> Iterator[None]:
    """Poll the health endpoint while a block runs; return its latencies."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    prober = multiprocessing.get_context("spawn").Process(target=probe, args=(port, there))
    prober.start()
    assert here.recv() == "ready"
    try:
        yield
    finally:
        here.send(None)
        times, late = here.recv() if here.poll(PATIENCE_S) else ([float("inf")], 0.0)
        prober.join(PATIENCE_S)
    slow = sum(time_ms > HEALTH_MS for time_ms in times)
    text = f"{len(times)} times, longest {max(times):.1f} ms, {slow} over {HEALTH_MS:.0f} ms (own delay {late:.0f} ms)"
    # How much this process oversleeps is scheduling delay of the machine, which the gateway has too.
    rows.append(Row(f"health, {during}", text, max(times) <= HEALTH_MS + late))


def memory_of(gateway: int) -> tuple[float, float]:
    """Resident MiB, shared pages included, of the gateway and of all its workers."""
    return _resident_mib(gateway), sum(map(_resident_mib, workers_of(gateway)))


def _resident_mib(pid: int) -> float:
    found = resident_memory(pid)
    return (found.anon + found.file + found.shmem) / _MIB


def judged(attack: Attack, port: int, reference: ReferenceModel, fuzzed: Fuzzed) -> None:
    """Send an attack and classify the response."""
    outcome = sent(port, attack, PATIENCE_S)
    wrong = ""
    if len(outcome.statuses) > 1 and attack.kind != "cut off":
        wrong = f"{attack.kind}: one request, the statuses {outcome.statuses}"
    elif 200 in outcome.statuses:
        values = None if attack.refused else meaning(attack)
        try:
            if values is None or not all(one.equal for one in compare_all(answered(outcome), reference.infer(values))):
                wrong = f"{attack.kind}: 200 for {(attack.head + attack.body)[:600]!r}"
        except InputError as error:
            wrong = f"{attack.kind}: 200, but {error}"
    with fuzzed.lock:
        fuzzed.count += 1
        fuzzed.hung += outcome.hung
        fuzzed.unanswered += attack.complete and not outcome.statuses and not outcome.hung
        fuzzed.statuses.update(outcome.statuses)
        fuzzed.wrong += [wrong] if wrong else []


def fuzz(
    server: Server, reference: ReferenceModel, questions: Sequence[Question], options: argparse.Namespace
) -> Iterator[Row]:
    """Send fuzzed requests from four clients, and good ones from a fifth."""
    parts = urlsplit(server.client.url)
    assert parts.port is not None
    fuzzed, tally = Fuzzed(), Tally()
    draw = random.Random(0)
    values = [inputs for inputs, _ in questions]
    attacks = [mutated(parts.path + "/infer", draw.choice(values), draw) for _ in range(options.requests)]
    with ThreadPoolExecutor(5) as pool:
        good = pool.submit(ask, server.client.url, questions, options.requests // GOOD_EVERY, tally)
        for done in [pool.submit(judged, attack, parts.port, reference, fuzzed) for attack in attacks]:
            done.result()
        good.result()
    kinds = Counter(attack.kind.partition(",")[0] for attack in attacks)
    listed = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    for text in fuzzed.wrong[:5]:
        print(text)
    yield fuzzed.row(f"{fuzzed.count} fuzzed requests ({listed})")
    yield good_row("good requests meanwhile", tally)


def good_row(attack: str, tally: Tally) -> Row:
    """Format the results of good requests as a row."""
    asked = tally.answered + tally.errors.total()
    text = f"{tally.answered} of {asked} answered, {tally.unequal} wrong"
    if tally.kills:
        text += f", {tally.kills} workers killed"
    for error, count in tally.errors.most_common(3):
        print(f"{attack}: {count} x {error}")
    hung = any("timed out" in error for error in tally.errors)
    return Row(attack, text, tally.unequal == 0 and not hung and tally.answered >= SHARE_ANSWERED * asked > 0)


def heavy(server: Server, reference: ReferenceModel, questions: Sequence[Question]) -> Iterator[Row]:
    """Large JSON from four clients at once, each body several times."""
    parts = urlsplit(server.client.url)
    assert parts.port is not None
    fuzzed, tally = Fuzzed(), Tally()
    path = parts.path + "/infer"
    bodies = large_json(JSON_LIMIT)
    attacks = [Attack(kind, head(path, len(body)), body, refused=True) for kind, body in bodies.items()] * 4
    with ThreadPoolExecutor(5) as pool:
        good = pool.submit(ask, server.client.url, questions, 200, tally)
        for done in [pool.submit(judged, attack, parts.port, reference, fuzzed) for attack in attacks]:
            done.result()
        good.result()
    yield fuzzed.row(f"{fuzzed.count} times 8 MiB of JSON ({len(bodies)} kinds)")
    yield good_row("good requests meanwhile", tally)


def drip(port: int, path: str, ended: list[float]) -> None:
    """Send a byte of a request's head each second; return after how long the server closed the connection."""
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), DRIP_S) as wire:
        for byte in head(path, 100) * 2:
            try:
                wire.sendall(bytes([byte]))
                if not wire.recv(1 << 16):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
    ended.append(time.perf_counter() - began)


def crowd(server: Server, questions: Sequence[Question], options: argparse.Namespace) -> Iterator[Row]:
    """Open slow clients, then idle connections from one address, and send good requests from another."""
    parts = urlsplit(server.client.url)
    assert parts.port is not None
    ended: list[float] = []
    slow = [threading.Thread(target=drip, args=(parts.port, parts.path, ended)) for _ in range(SLOW_CLIENTS)]
    for thread in slow:
        thread.start()
    with ExitStack() as stack:
        refused = 0
        for _ in range(options.connections):
            try:
                stack.enter_context(socket.create_connection(("127.0.0.1", parts.port), PATIENCE_S))
            except OSError:
                refused += 1
        health = Attack("health", b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", b"")
        statuses = Counter(sent(parts.port, health, PATIENCE_S, OTHER).statuses for _ in range(50))
    for thread in slow:
        thread.join()
    text = f"another address: {statuses[(200,)]} of 50 answered; {refused} not connected"
    yield Row(f"{options.connections} connections from one address", text, statuses[(200,)] == 50)
    yield Row(f"{SLOW_CLIENTS} clients of a byte a second", f"ended after {max(ended):.0f} s at most", max(ended) < 20)
    tally = Tally()
    ask(server.client.url, questions, 50, tally)
    yield good_row("good requests afterwards", tally)


def killed(server: Server, questions: Sequence[Question], options: argparse.Namespace) -> Iterator[Row]:
    """Kill a worker each second while requests run."""
    tally = Tally()
    with killing(partial(next_worker, server.pid), tally):
        ask_for(server.client.url, questions, options.concurrency, options.seconds, tally)
    yield good_row(f"a worker killed each second for {options.seconds:g} s", tally)


def settled(server: Server, questions: Sequence[Question], workers: int) -> tuple[float, float]:
    """Memory after many good requests, once all workers run."""
    deadline = time.monotonic() + PATIENCE_S
    while len(workers_of(server.pid)) < workers and time.monotonic() < deadline:
        time.sleep(0.1)
    with Client(server.client.url) as client:
        for number in range(WARM):
            client.infer(questions[number % len(questions)][0])
    time.sleep(QUIET_S)  # after this time a gateway releases what large requests took
    return memory_of(server.pid)


def campaign(kind: str, options: argparse.Namespace) -> Iterator[Row]:
    """Run all attacks on a bundle of one kind."""
    with tempfile.TemporaryDirectory(prefix="mopar-attack-") as folder, ExitStack() as stack:
        bundle, questions = prepared(Scenario(MODELS[kind], kind, options.requests, options.concurrency), Path(folder))
        reference = ReferenceModel(materialise(MODELS[kind]))
        server = Server(bundle)
        stack.callback(server.stop)
        port = urlsplit(server.client.url).port
        assert port is not None
        workers = len(bundle.manifest.plan.functions)
        before = settled(server, questions, workers)
        health: list[Row] = []
        with probed(port, health, "fuzzed"):
            yield from fuzz(server, reference, questions, options)
        with probed(port, health, "8 MiB of JSON"):
            yield from heavy(server, reference, questions)
        yield from crowd(server, questions, options)
        with probed(port, health, "workers killed"):
            yield from killed(server, questions, options)
        yield from health
        after = settled(server, questions, workers)
        for name, was, now in zip(("gateway", "workers"), before, after, strict=True):
            yield Row(f"memory of the {name}", f"{was:.1f} MiB before, {now:.1f} after", now - was <= GROWN_MIB)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--requests", type=int, default=10_000, help="fuzzed ones, to each bundle")
    arguments.add_argument("--seconds", type=float, default=60.0, help="that workers are killed for")
    arguments.add_argument("--connections", type=int, default=600, help="from one address")
    arguments.add_argument("--concurrency", type=int, default=8, help="while workers are killed")
    arguments.add_argument("--kinds", default=",".join(MODELS))
    options = arguments.parse_args()
    say_where(0)
    rows: list[tuple[str, Row]] = []
    for kind in options.kinds.split(","):
        for row in campaign(kind, options):
            rows.append((kind, row))
            print(f"{kind} | {row.attack} | {row.found} | {met(row.holds)}", flush=True)
    print()
    table(("bundle", "attack", "found", ""), [(kind, row.attack, row.found, met(row.holds)) for kind, row in rows])
    found = {f"{kind}, {row.attack}": {"found": row.found, "holds": row.holds} for kind, row in rows}
    write_raw(options.json, "attack", {"seed": 0, "rows": found})
    if not all(row.holds for _, row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
