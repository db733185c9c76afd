"""What functions report as held, which is billed, beside the clock of the process that calls them.

    python -m benchmarks.held_time [--models resnet50,minilm,convnext-base] [--requests 40] [--json FILE]

Each model's cheapest plan that is a chain, and its fastest plan, on this machine, called from this process.
For each request, the time from sending a frame to a function to receiving its answer is added up over the functions,
and compared with what they report: held time, of it waiting for the other parts of a slice. A chain whose functions
pass calls on to each other counts as one time, from the first frame to the last answer. What lies between is the way of
frames and waking up, which a function cannot see. Goal: reported is within 3% of the caller's.
"""

import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from unittest import mock

import uvloop

from benchmarks.common import met, parser, say_where, spread, table, write_raw
from benchmarks.two_plans import two_plans
from mopar.bundle import Bundle
from mopar.gateway.arrays import Array, from_array
from mopar.gateway.executor import Executor
from mopar.limits import Cgroup
from mopar.measurement.policy import LATENCY
from mopar.platforms.local.arena import Arena
from mopar.platforms.local.chain import Chain
from mopar.platforms.local.deployment import LocalDeployment
from mopar.platforms.local.function import LocalFunction
from mopar.platforms.local.process import WorkerSpec
from mopar.platforms.local.worker import WorkerConnection

MODELS = ("resnet50", "minilm", "convnext-base")
GOAL = 0.03
_DEADLINE_S = 60.0


class TimedFunction(LocalFunction):
    """A function whose caller's clock runs too: ``clock`` adds up how long its answers took, in ms."""

    clock: list[float]

    async def _ask(self, worker: WorkerConnection, frame: bytes, deadline: float) -> memoryview:
        started = time.perf_counter()
        try:
            return await super()._ask(worker, frame, deadline)
        finally:
            self.clock.append((time.perf_counter() - started) * 1e3)


def timed_chain(clock: list[float]) -> Callable[..., Awaitable[bool]]:
    """`Chain.run` with the caller's clock: a chain's functions pass calls on themselves, so that nobody asks each."""
    run = Chain.run

    async def timed(chain: Chain, frame: bytes, peers: Sequence[int], arena: Arena) -> bool:
        started = time.perf_counter()
        try:
            return await run(chain, frame, peers, arena)
        finally:
            clock.append((time.perf_counter() - started) * 1e3)

    return timed


class TimedDeployment(LocalDeployment):
    """A deployment of such functions, which share a clock."""

    def __init__(self, bundle: Bundle) -> None:
        self.clock: list[float] = []
        super().__init__(bundle)

    def _function(
        self,
        spec: WorkerSpec,
        make_cgroup: Callable[[], Cgroup] | None,
        on_restart: Callable[[str], None],
        memory_mib: int,
    ) -> LocalFunction:
        function = TimedFunction(spec, make_cgroup, on_restart, memory_mib)
        function.clock = self.clock
        return function


@dataclass(frozen=True, slots=True)
class Request:
    """A request's figures in ms, over all functions: by the caller's clock, and as reported."""

    asked_ms: float
    held_ms: float
    waiting_ms: float


async def requests_of(bundle: Bundle, inputs: Mapping[str, Array], count: int) -> list[Request]:
    """So many counted requests, one after the other."""
    values = {name: from_array(name, value) for name, value in inputs.items()}
    found = []
    deployment = TimedDeployment(bundle)
    async with deployment:
        executor = Executor(bundle.manifest, deployment.transport())
        with mock.patch.object(Chain, "run", timed_chain(deployment.clock)):
            for _ in range(LATENCY.settling_requests + count):
                deployment.clock.clear()
                async with executor.infer(values, None, _DEADLINE_S) as answer:
                    timings = list(answer.timings)
                held_ns, waiting_ns = (sum(getattr(one, name) for one in timings) for name in ("held_ns", "waiting_ns"))
                found.append(Request(sum(deployment.clock), held_ns / 1e6, waiting_ns / 1e6))
        await executor.close()
    return found[LATENCY.settling_requests :]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--models", default=",".join(MODELS), help="of the zoo, separated by commas")
    arguments.add_argument("--requests", type=int, default=40, help="counted requests to each plan (default: 40)")
    options = arguments.parse_args()
    say_where(0)
    rows, raw = [], {}
    for name in options.models.split(","):
        for kind, bundle, inputs in two_plans(name):
            found = uvloop.run(requests_of(bundle, inputs, options.requests))
            asked, held, waiting = (
                spread([getattr(one, figure) for one in found]) for figure in ("asked_ms", "held_ms", "waiting_ms")
            )
            ratio = statistics.median(one.held_ms / one.asked_ms for one in found)
            row = (
                name,
                kind,
                str(len(bundle.manifest.plan.functions)),
                asked.text(".2f"),
                held.text(".2f"),
                waiting.text(".2f"),
            )
            rows.append((*row, f"{ratio - 1:+.1%}", met(abs(ratio - 1) <= GOAL)))
            raw[f"{name} {kind}"] = found
    table(("model", "plan", "functions", "by the caller, ms", "held, ms", "of it waiting, ms", "off by", ""), rows)
    print(f"{options.requests} requests to each plan; p50 [p25, p75], added up over its functions")
    write_raw(options.json, "held_time", {"requests": raw})


if __name__ == "__main__":
    main()
