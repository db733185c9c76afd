"""The Protocols by which the rest of mopar uses platforms; nothing here belongs to a single platform.

A ``Deployment`` is a bundle's functions, running. Its ``Transport`` carries calls and tensors to them; how it does so
(frames and shared memory, HTTP, a platform's own invocation) is hidden from its users.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Protocol, Self

from mopar.bundle import Bundle
from mopar.bundle.call_plans import CallChain, CallPlan, Made
from mopar.limits import Cgroup
from mopar.segments import Place
from mopar.types import Network, TensorValue, UsageError

NO_HOMES: Mapping[Made, Place] = MappingProxyType({})


class Budget(Protocol):
    """Bounds what the tensors of requests take of this machine's memory."""

    def check(self, needed: int) -> None:
        """Raise where one request needs too much."""

    def take(self, count: int) -> None:
        """Claim bytes. Raises where there are none left."""

    def give(self, count: int) -> None:
        """Return bytes."""


class Unbounded:
    """A budget without limits, for measurements."""

    def check(self, needed: int) -> None:
        """Allow any size."""

    def take(self, count: int) -> None:
        """Allow any size."""

    def give(self, count: int) -> None:
        """Nothing is counted."""


TRANSPORTS = ("local", "http")
"""How functions of this machine can be called: by frames and shared memory, or by HTTP."""


def check_transport(transport: str, network: Network | None) -> None:
    """Raise UsageError where there is no such transport, or it cannot emulate the network."""
    if transport not in TRANSPORTS:
        raise UsageError(f"--transport {transport}: choose from {', '.join(TRANSPORTS)}")
    if network is None:
        return
    if transport != "http":
        raise UsageError("--bandwidth-mbit and --rtt-ms emulate a network: add --transport http")
    check_network(network)


def check_network(network: Network) -> None:
    """Raise UsageError where a network's figures make no sense."""
    if network.bandwidth_mbit is not None and not 0 < network.bandwidth_mbit < inf:
        raise UsageError(f"--bandwidth-mbit {network.bandwidth_mbit}: write 10^6 bits per second, above 0")
    if not 0 <= network.rtt_ms < inf:
        raise UsageError(f"--rtt-ms {network.rtt_ms}: write milliseconds, 0 or more")


CALLS, INVOICED_SECONDS, COST_DOLLARS = (
    "mopar_function_calls_total",
    "mopar_function_platform_billed_seconds_total",
    "mopar_function_platform_cost_dollars_total",
)
"""Metrics of a gateway, by function, that also tell what a deployment costs."""


@dataclass(frozen=True, slots=True)
class Bill:
    """What a platform bills for a call.

    Attributes:
        ms: duration, rounded up as the platform does; with the initialisation before the call, where that is billed.
        usd: price of it, and of the call itself.
        inner: of the calls that the function made itself, by function.
    """

    ms: float
    usd: float
    inner: "tuple[tuple[str, Bill], ...]" = ()


@dataclass(frozen=True, slots=True)
class CallTiming:
    """Time of one call, in ns.

    Attributes:
        call, function: names.
        held_ns: from its arrival at the function to its answer, which is what is billed.
        compute_ns: of that, in the engine.
        attempts: how often it was sent.
        waiting_ns: of ``held_ns``, waiting for calls of other functions.
        bill: what its platform bills, where that is known.
    """

    call: str
    function: str
    held_ns: int
    compute_ns: int
    attempts: int
    waiting_ns: int = 0
    bill: Bill | None = None


class MisforeseenError(Exception):
    """A tensor has another size than was foreseen: the request is to be run again, with nothing foreseen."""


class OpenRequest(Protocol):
    """One request in flight, with its tensors in the form in which the transport keeps them.

    Calls may run in any order in which each comes after those that it reads from, also several at once.
    """

    @property
    def timings(self) -> Sequence[CallTiming]:
        """Of the calls that have ended, in the order in which they did."""

    @property
    def abandoned(self) -> bool:
        """Whether ``abandon`` was called."""

    @property
    def foresees(self) -> bool:
        """Whether sizes of tensors are foreseen, so that errors may be due to them and not to the request."""

    async def run(self, plan: CallPlan, upcoming: Sequence[CallPlan], deadline: float) -> None:
        """Run one call.

        Args:
            plan: the call; the tensors that it reads exist.
            upcoming: calls that can run after this one; the transport may prepare them meanwhile.
            deadline: on the clock of ``time.monotonic``.

        Raises:
            RequestError: shapes do not fit the plan, or the model refused the inputs.
            OverloadedError: the deadline passed before the function was free.
            OutOfMemoryError: the call took more memory than its function has.
            DeploymentError: the function failed twice, or did not answer in time.
            MisforeseenError: an output has another size than was foreseen.
        """

    async def run_group(
        self,
        plans: Sequence[CallPlan],
        waits: Sequence[Sequence[int]],
        upcoming: Sequence[CallPlan],
        deadline: float,
    ) -> bool:
        """Run calls of functions that exchange tensors in both directions, all at once.

        Args:
            plans: in an order in which they could run one after the other.
            waits: for each, the places in ``plans`` of calls of other functions that it reads from.
            upcoming: as for ``run``.
            deadline: as for ``run``.

        Returns:
            False where the calls cannot run as a group in this request; then nothing has run.

        Raises:
            As ``run``.
        """

    async def run_chain(self, chain: CallChain, upcoming: Sequence[CallPlan], deadline: float) -> int:
        """Run calls of which each function starts the next, without the gateway in between.

        Args:
            chain: any two functions come in the same order in all chains that have both; what it reads exists.
            upcoming: as for ``run``, after all of the chain.
            deadline: as for ``run``.

        Returns:
            How many have run, from the first on. They can be fewer than all, and none where the functions are not all
            free now: then the next call is to be run by itself.

        Raises:
            As ``run``.
        """

    def value(self, name: str, dtype: str, made: Made) -> TensorValue:
        """A tensor that a call has produced, renamed to ``name``, as a view that is valid until ``close``."""

    def abandon(self) -> None:
        """Start no further calls, since the answer is not needed any more; running calls may end."""

    def close(self) -> None:
        """Release the tensors. No call may be running."""


class Transport(Protocol):
    """Carries the calls of a plan to its functions."""

    @property
    def runs_groups(self) -> bool:
        """Whether ``run_group`` may be called."""

    @property
    def runs_chains(self) -> bool:
        """Whether ``run_chain`` may be called."""

    @property
    def maps_clients_memory(self) -> bool:
        """Whether functions can read and write tensors in memory that clients share with the gateway."""

    def ready(self) -> bool:
        """Whether every function would answer now."""

    def open(
        self,
        inputs: Mapping[str, TensorValue],
        nbytes: int,
        homes: Mapping[Made, Place] = NO_HOMES,
        *,
        foresee: bool = True,
    ) -> OpenRequest:
        """Begin a request.

        Args:
            inputs: one value for each of the model's inputs; with a place only where ``maps_clients_memory``.
            nbytes: of all its tensors whose size follows from the inputs' shapes.
            homes: places in the client's memory where outputs are to be made, as far as their size is known before and
                fits; the values of such have the place. None of them overlaps another or an input.
            foresee: whether sizes of tensors may be taken from earlier requests.

        Raises:
            RequestError: the bytes of a value do not match its shape, or the request needs too much memory.
            OverloadedError: other requests hold the memory that it needs.
            DeploymentError: the machine has no memory left.
        """

    async def close(self) -> None:
        """Release what is kept for later requests. All requests must be closed."""


class Deployment(Protocol):
    """A bundle's functions, which run inside its async context."""

    @property
    def limited(self) -> bool:
        """Whether functions run under the plan's limits of memory and CPU."""

    def transport(self, budget: Budget | None = None) -> Transport:
        """What carries calls to the functions; ``budget`` bounds the memory of requests on this machine."""

    async def __aenter__(self) -> Self:
        """Start all functions; where one fails, none is left. Raises EngineError or PlatformError."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all functions."""


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """A call's inputs, and its outputs' types and shapes, as recorded in one request.

    ``graph`` is the index among its function's graphs; ``bound`` says of each output whether its size is known
    before the run.
    """

    id: str
    graph: int
    inputs: tuple[TensorValue, ...]
    outputs: tuple[TensorValue, ...]
    bound: tuple[bool, ...]


class FunctionRun(Protocol):
    """A function's process, loaded and ready, with recorded calls to run. Leaving the context ends it."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...

    @property
    def pid(self) -> int:
        """The process itself, not a shell around it."""

    @property
    def timings(self) -> Sequence[CallTiming]:
        """Of the last request's calls."""

    def request(self) -> float:
        """Run the calls of one request; its latency in ms. Raises EngineError or PlatformError."""


class FunctionLaunch(Protocol):
    """How one function is started alone, for a measurement.

    The measurement kills a process that takes too long. So ``start``, and ``request`` of the run, need no deadline of
    their own, but must notice that the process died.
    """

    @property
    def files(self) -> tuple[Path, ...]:
        """The bundle's files that it reads, which are evicted from the page cache before every measured run."""

    def start(self, cgroup: Cgroup | None) -> FunctionRun:
        """Exec inside ``cgroup`` and load. Raises EngineError or PlatformError."""


class HostPlatform(Protocol):
    """The platform of this machine, where functions can be measured one by one."""

    def start(
        self,
        bundle: Bundle,
        *,
        limits: bool = True,
        memory_mib: Mapping[str, int] | None = None,
        transport: str = "local",
        network: Network | None = None,
        notice: Callable[[str], None] = lambda _text: None,
        on_restart: Callable[[str], None] = lambda _name: None,
    ) -> Deployment:
        """A deployment of the bundle, to be entered.

        Args:
            bundle: what to run.
            limits: whether to set limits of memory and CPU; where the machine cannot, ``notice`` is called once.
            memory_mib: function -> limit in place of the plan's, for measurements.
            transport: one of TRANSPORTS.
            network: to emulate between here and the functions, with ``http``.
            notice: called with messages for the user, each once.
            on_restart: called with a function's name each time that it is restarted.

        Raises:
            UsageError: the transport is unknown, or cannot emulate the network or run the bundle's worker.
        """

    def launch(self, bundle: Bundle, function: str, calls: Sequence[RecordedCall]) -> FunctionLaunch:
        """One function of the bundle with its calls of one recorded request."""

    def launch_whole(self, bundle: Bundle, calls: Mapping[str, Sequence[RecordedCall]]) -> FunctionLaunch:
        """All functions' graphs in one process, which runs all calls one after the other."""
