"""Latency where sizes that inference does not know are foreseen, and where they are fetched by a second frame.

    python -m benchmarks.foreseen_sizes [--models minilm,ppocr-rec] [--requests 120] [--json FILE]

Models whose inputs have symbolic dimensions, and of whose tensors inference knows few shapes. Each model's cheapest
plan that is a chain, and its fastest plan, on this machine. The same functions are called in both ways: requests take
turns, and which way goes first changes each round. The gain is the median of the differences between the two requests
of a round. Goal: no plan is slower.
"""

import time
from collections.abc import Mapping, Sequence

import uvloop

from benchmarks.common import met, parser, say_where, spread, table, write_raw
from benchmarks.two_plans import two_plans
from mopar.bundle import Bundle
from mopar.gateway.arrays import Array, from_array
from mopar.gateway.executor import Executor
from mopar.platforms.local import LocalDeployment, LocalTransport
from mopar.platforms.local.foreseen import Foreseen, ForeseenShapes
from mopar.types import Plan, TensorValue

MODELS = ("minilm", "ppocr-rec")
WAYS = ("fetched", "foreseen")
WARM = 30
_DEADLINE_S = 60.0


class NothingForeseen(ForeseenShapes):
    """Of all requests the same: nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._nothing = _Nothing(set())

    def of(self, _values: Mapping[str, TensorValue]) -> Foreseen:
        """What does not learn."""
        return self._nothing


class _Nothing(Foreseen):
    def note(self, made: tuple[str, str], shape: tuple[int, ...]) -> None:
        """Forget it."""


async def in_turns(bundle: Bundle, inputs: Mapping[str, Array], count: int) -> dict[str, list[float]]:
    """Latencies in ms of counted requests in both ways, in rounds."""
    values = {name: from_array(name, value) for name, value in inputs.items()}
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    async with LocalDeployment(bundle) as deployment:
        known = {"fetched": NothingForeseen(), "foreseen": ForeseenShapes()}
        transports = {way: LocalTransport(deployment.functions, foreseen=shapes) for way, shapes in known.items()}
        executors = {way: Executor(bundle.manifest, transport) for way, transport in transports.items()}
        for round_ in range(WARM + count):
            for way in WAYS if round_ % 2 else reversed(WAYS):
                started = time.perf_counter()
                async with executors[way].infer(values, None, _DEADLINE_S):
                    found[way].append((time.perf_counter() - started) * 1e3)
        for executor in executors.values():
            await executor.close()
    return {way: latencies[WARM:] for way, latencies in found.items()}


def row(plan: Plan, found: Mapping[str, Sequence[float]]) -> tuple[str, ...]:
    """A plan's cells of the table."""
    gains = [fetched - foreseen for fetched, foreseen in zip(found["fetched"], found["foreseen"], strict=True)]
    gain, before = spread(gains), spread(found["fetched"])
    return (
        str(len(plan.functions)),
        str(len(plan.calls)),
        *(spread(found[way]).text(".2f") for way in WAYS),
        f"{gain.text('.2f')} ms, {gain.p50 / before.p50:.1%}: {met(gain.p50 >= 0)}",
    )


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--models", default=",".join(MODELS), help="of the zoo, separated by commas")
    arguments.add_argument("--requests", type=int, default=120, help="counted requests in each way")
    options = arguments.parse_args()
    say_where(0)
    rows, raw = [], []
    for name in options.models.split(","):
        for kind, bundle, inputs in two_plans(name):
            found = uvloop.run(in_turns(bundle, inputs, options.requests))
            rows.append((name, kind, *row(bundle.manifest.plan, found)))
            raw.append({"model": name, "plan": kind, "latency_ms": found})
    table(("model", "plan", "functions", "calls", "fetched, ms", "foreseen, ms", "gain"), rows)
    print(f"{options.requests} requests in each way, taking turns; p50 [p25, p75]")
    write_raw(options.json, "foreseen_sizes", {"plans": raw})


if __name__ == "__main__":
    main()
