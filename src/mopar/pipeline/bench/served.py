"""Configurations served side by side, each by a gateway process of its own; requests are interleaved."""

import contextlib
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from mopar.bundle import Bundle, compare_all
from mopar.gateway.arrays import Array
from mopar.gateway.client import Client
from mopar.limits import charge_foreign, cpu_ns, detect_cgroups, process_tree, resident_memory
from mopar.measurement.policy import LATENCY
from mopar.types import DeploymentError, Network, PlatformError

_START_S = 300.0
_STOP_S = 60.0
_ORDER_SEED = 0
_MIB = 1 << 20


class _Ready(msgspec.Struct):
    url: str


@dataclass(slots=True)
class Samples:
    """What the requests to one configuration came to; durations in ms, by function where mapped.

    ``cpu_s`` is CPU time of a request, of all functions and of the gateway, and ``gateway_cpu_ms`` the gateway's alone.
    """

    latency_ms: list[float] = field(default_factory=list)
    held_ms: dict[str, list[float]] = field(default_factory=dict)
    engine_ms: dict[str, list[float]] = field(default_factory=dict)
    waiting_ms: dict[str, list[float]] = field(default_factory=dict)
    equal: bool = True
    cpu_s: float = 0.0
    gateway_mib: float = 0.0
    gateway_cpu_ms: float = 0.0


class Server:
    """``mopar serve`` as a process, and a client of it.

    Args:
        bundle: to serve.
        transport: to its functions.
        network: to emulate between gateway and functions.
    """

    def __init__(self, bundle: Bundle, transport: str = "local", network: Network | None = None) -> None:
        command = [sys.executable, "-m", "mopar", "serve", str(bundle.root), "--port", "0", "--json"]
        command += ["--worker", bundle.worker, "--with-parent", "--transport", transport]
        if network is not None:
            command += ["--rtt-ms", str(network.rtt_ms)]
        if network is not None and network.bandwidth_mbit is not None:
            command += ["--bandwidth-mbit", str(network.bandwidth_mbit)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        try:
            self.client = Client(self._url(bundle.root), timeout_s=LATENCY.call_s)
        except BaseException:  # an interrupt too: the process is nobody else's
            self._end()
            raise

    def _url(self, bundle: Path) -> str:
        assert self._process.stdout is not None
        document = b""
        while line := self._process.stdout.readline():
            document += line
            with contextlib.suppress(msgspec.DecodeError):
                return msgspec.json.decode(document, type=_Ready).url
        self._process.wait(timeout=_START_S)
        raise DeploymentError(f"{bundle}: the server ended with status {self._process.returncode} before it was ready")

    @property
    def pid(self) -> int:
        """The gateway's process."""
        return self._process.pid

    def stop(self) -> None:
        """End it as Ctrl-C would."""
        self.client.close()
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=_STOP_S)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def sample(
    bundles: Sequence[Bundle],
    inputs: Mapping[str, Array],
    want: Mapping[str, Array],
    requests: int,
    *,
    transport: str = "local",
    network: Network | None = None,
    progress: Callable[[float], None] = lambda _share: None,
) -> list[Samples]:
    """A request to each configuration per round, so that the machine's drift meets all of them, in changing order.

    Args:
        bundles: of each configuration.
        inputs: the request.
        want: the reference model's answer.
        requests: counted ones to each.
        transport: to the functions.
        network: to emulate between gateway and functions.
        progress: called with the share of the requests that is done.

    Raises:
        DeploymentError: a server does not come up or fails.
    """
    samples = [Samples() for _ in bundles]
    with contextlib.ExitStack() as stack:
        servers = []
        for bundle in bundles:
            servers.append(Server(bundle, transport, network))
            stack.callback(servers[-1].stop)
        for _ in range(LATENCY.settling_requests):
            for server in servers:
                server.client.infer(inputs)
        for server in servers:
            _as_billed(server.pid)
        before = [_cpu_of(server.pid) for server in servers]
        for number, order in enumerate(orders(len(bundles), requests)):
            for place in order:
                _invoke(servers[place], inputs, want, samples[place])
            progress((number + 1) / requests)
        for server, taken, used in zip(servers, samples, before, strict=True):
            spent = _cpu_of(server.pid) - used
            taken.cpu_s = spent.total() / 1e9 / requests
            taken.gateway_cpu_ms = spent[server.pid] / 1e6 / requests
            taken.gateway_mib = _resident_mib(server.pid)
    return samples


def orders(count: int, rounds: int) -> Iterator[list[int]]:
    """The places of ``count`` configurations in each of ``rounds``, shuffled; the same in every run.

    In a fixed order each would always find the caches, the cores and the clock as the same other one left them.
    """
    draw = np.random.default_rng(_ORDER_SEED)
    for _ in range(rounds):
        yield draw.permutation(count).tolist()


def _invoke(server: Server, inputs: Mapping[str, Array], want: Mapping[str, Array], taken: Samples) -> None:
    started = time.perf_counter()
    got = server.client.infer(inputs)
    taken.latency_ms.append((time.perf_counter() - started) * 1e3)
    taken.equal = taken.equal and all(difference.equal for difference in compare_all(got, want))
    for function, parts in server.client.timings.items():
        taken.held_ms.setdefault(function, []).append(parts["held"])
        taken.engine_ms.setdefault(function, []).append(parts["engine"])
        taken.waiting_ms.setdefault(function, []).append(parts["waiting"])


def _as_billed(gateway: int) -> None:
    """Lower the limits of a gateway's functions by what they map at the expense of other processes."""
    groups = detect_cgroups()
    if groups is None:
        return
    for process in process_tree(gateway)[1:]:
        group = groups.holding(process)
        if group is not None:
            charge_foreign(group, process)


def _resident_mib(pid: int) -> float:
    held = resident_memory(pid)
    return (held.anon + held.file + held.shmem) / _MIB


def _cpu_of(pid: int) -> Counter[int]:
    """CPU time in ns of a gateway and of each process that it has started, its functions among them."""
    used: Counter[int] = Counter()
    for process in process_tree(pid):
        with contextlib.suppress(PlatformError):  # it ended just now
            used[process] = cpu_ns(process)
    return used
