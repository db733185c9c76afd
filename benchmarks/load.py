"""Load for benchmarks of reliability: clients that compare every answer, and what kills processes meanwhile."""

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from mopar.bundle import compare_all
from mopar.gateway.arrays import Array
from mopar.gateway.client import Client
from mopar.types import MoparError

TIMEOUT_S, KILL_EVERY_S = 60.0, 1.0
_ENDLESS = 1 << 60

Question = tuple[Mapping[str, Array], Mapping[str, Array]]
"""Inputs, and the reference model's outputs."""


@dataclass
class Tally:
    """Results of the requests, and counts of kills, retries and restarts.

    ``latency_ms`` is of requests that were answered, ``failed_ms`` of those that ended in an error.
    """

    begun: int = 0
    unequal: int = 0
    kills: int = 0
    seconds: float = 0.0
    restarts: float = 0.0
    retries: float = 0.0
    functions: int = 0
    latency_ms: list[float] = field(default_factory=list)
    failed_ms: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def answered(self) -> int:
        """How many requests succeeded."""
        return len(self.latency_ms)


def ask(url: str, questions: Sequence[Question], requests: int, tally: Tally) -> None:
    """One client: send requests until all are taken."""
    with Client(url, timeout_s=TIMEOUT_S) as client:
        while True:
            with tally.lock:
                number, tally.begun = tally.begun, tally.begun + 1
            if number >= requests:
                return
            inputs, want = questions[number % len(questions)]
            started = time.perf_counter()
            try:
                got = client.infer(inputs)
            except MoparError as error:
                with tally.lock:
                    tally.failed_ms.append((time.perf_counter() - started) * 1e3)
                    tally.errors[f"{type(error).__name__}: {error}"] += 1
                continue
            latency_ms = (time.perf_counter() - started) * 1e3
            equal = all(difference.equal for difference in compare_all(got, want))
            with tally.lock:
                tally.latency_ms.append(latency_ms)
                tally.unequal += not equal


def ask_for(url: str, questions: Sequence[Question], concurrency: int, seconds: float, tally: Tally) -> None:
    """Clients that send requests for some time; returns when the last one is answered."""
    with ThreadPoolExecutor(concurrency) as pool:
        clients = [pool.submit(ask, url, questions, _ENDLESS, tally) for _ in range(concurrency)]
        time.sleep(seconds)
        with tally.lock:
            tally.begun = _ENDLESS
        for client in clients:
            client.result()


@contextlib.contextmanager
def killing(next_one: Callable[[int], int | None], tally: Tally, every_s: float = KILL_EVERY_S) -> Iterator[None]:
    """Send SIGKILL to one process after the other while the block runs.

    Args:
        next_one: the process id of the one to kill, by how many were before; None while it does not run.
        tally: counts them.
        every_s: time between two.
    """
    ended = threading.Event()

    def kill_now_and_then() -> None:
        while not ended.wait(every_s):
            process = next_one(tally.kills)
            if process is not None:
                with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                    os.kill(process, signal.SIGKILL)
                    tally.kills += 1

    with ThreadPoolExecutor(1) as pool:
        killer = pool.submit(kill_now_and_then)
        try:
            yield
        finally:
            ended.set()
            killer.result()
