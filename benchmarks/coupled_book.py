"""Coupled price books (AWS Lambda): the advice against the unsplit model, at its smallest size and at one CPU.

    python -m benchmarks.coupled_book [--models NAME,..] [--measure NAME,..] [--requests N] [--json FILE]

First as predicted by the planner, for each zoo model on the platform's own limits: the cheapest plan at any latency
against the baselines' costs, the fastest against their latencies, the balanced one against their place between the two.
Then measured: the same price book, functions of this machine with memory / 1,769 MB of a CPU, interleaved requests,
each to an idle function. A baseline counts as beaten or equalled where the advice is at most 2% above it; predicted
stands beside measured.
"""

import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import uvloop

from benchmarks.common import met, parser, say_where, spread, table, write_raw
from benchmarks.verdicts import floor_mib, limits_for, profile_of
from mopar.bundle import Bundle, build, open_bundle, prepare
from mopar.files import cache_directory
from mopar.gateway.arrays import Array, from_array
from mopar.gateway.executor import Executor
from mopar.graph import load_model
from mopar.limits import detect_cgroups, why_unavailable
from mopar.planning import Size, Slice, chain_shape, evaluate, plan, plan_unsplit
from mopar.planning.model.prices import billed_ms, calls_usd
from mopar.platforms.books import load_book, load_limits
from mopar.platforms.local import LocalDeployment
from mopar.types import InfeasibleError, MoparError, Plan, PlatformLimits, PriceBook, Profile
from mopar.zoo import zoo_models
from tests.models import materialise, sample_inputs

BOOK = "aws-lambda-x86"
MEASURED = ("resnet50", "efficientnet-b0", "minilm", "dlrm")
OBJECTIVES = ("cost", "latency", "balanced")
FLOOR, ONE_CPU = "unsplit at its floor", "unsplit at a whole CPU"
EQUAL = 1.02
_TOLERANCE = 1e-6
LONGEST_PERIOD_MS = 20.0
"""Of the quotas that are set here and on AWS Lambda."""
_WARM = 3
_DEADLINE_S = 120.0

Point = tuple[float, float]
"""Cost of a million requests in USD, and latency of one in ms."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One objective's advice beside one baseline: the compared figure of each; less is better."""

    model: str
    objective: str
    baseline: str
    advice: float
    other: float

    def holds(self, tolerance: float) -> bool:
        """Whether the advice beats the baseline or equals it."""
        return self.advice <= self.other * tolerance


def point_of(made: Plan) -> Point:
    """Predicted cost and latency of a plan."""
    return made.predicted.cost_per_million_usd, made.predicted.latency_ms


def sized(profile: Profile, book: PriceBook, limits: PlatformLimits, memory_mib: float) -> Plan:
    """The unsplit model in one function of that memory, one thread, within limits or not."""
    assert book.mib_per_vcpu is not None
    made = plan_unsplit(profile, book, replace(limits, package_bytes=None), slo_ms=None)
    size = Size(round(memory_mib), memory_mib / book.mib_per_vcpu, 1)
    shape = chain_shape(profile, [Slice(0, len(profile.layers), size)])
    return replace(made, functions=shape.functions, predicted=evaluate(profile, book, limits, shape))


def configurations(profile: Profile, book: PriceBook, limits: PlatformLimits) -> dict[str, Plan]:
    """The advice for each objective, and the baselines that the platform's limits allow."""
    found = {}
    for objective in OBJECTIVES:
        with contextlib.suppress(InfeasibleError):
            found[objective] = plan(profile, book, limits, objective=objective, slo_ms=None)
    with contextlib.suppress(InfeasibleError):
        plan_unsplit(profile, book, limits, slo_ms=None)
        floor = floor_mib(profile, book, limits)
        found[FLOOR] = sized(profile, book, limits, floor)
        found[ONE_CPU] = sized(profile, book, limits, max(floor, book.mib_per_vcpu or 0.0))
    return found


def compare(model: str, points: Mapping[str, Point]) -> Iterator[Compared]:
    """Compare every objective with every baseline.

    Costs for ``cost``, latencies for ``latency``. For ``balanced``, the sum of both, each as a share of the way from
    the advice that is best in it to the one that is best in the other (1 at either end, so less than 1 between them).
    """
    for name in (FLOOR, ONE_CPU):
        if name in points and all(objective in points for objective in OBJECTIVES):
            yield Compared(model, "cost", name, points["cost"][0], points[name][0])
            yield Compared(model, "latency", name, points["latency"][1], points[name][1])
            way = [_way(points["cost"], points["latency"], points[which]) for which in ("balanced", name)]
            yield Compared(model, "balanced", name, *way)


def _way(cheap: Point, fast: Point, point: Point) -> float:
    parts = ((point[0] - cheap[0], fast[0] - cheap[0]), (point[1] - fast[1], cheap[1] - fast[1]))
    # Where one plan is best in both, its own cost and latency are the scale instead.
    if any(whole <= 0 for _, whole in parts):
        return point[0] / cheap[0] + point[1] / fast[1]
    return sum(part / whole for part, whole in parts)


@dataclass(frozen=True, slots=True)
class Taken:
    """Measurements of a configuration: every request's latency, and what all its calls cost."""

    model: str
    name: str
    plan: Plan
    latency_ms: tuple[float, ...]
    usd_per_million: float

    @property
    def point(self) -> Point:
        """Mean cost and latency: means, since under a quota both depend on the moment at which a request arrives."""
        return self.usd_per_million, statistics.fmean(self.latency_ms)


def measured(name: str, profile: Profile, book: PriceBook, requests: int) -> list[Taken]:
    """Measure all configurations of a model, on this machine's own limits; equal plans run once."""
    made = configurations(profile, book, load_limits("local"))
    alike = {name: next(other for other, plan in made.items() if _same(plan, made[name])) for name in made}
    model, inputs = load_model(materialise(name)), sample_inputs(name)
    with tempfile.TemporaryDirectory(prefix="mopar-coupled-") as folder:
        bundles = {}
        for number, which in enumerate(dict.fromkeys(alike.values())):
            build(model, made[which], Path(folder) / str(number))
            bundles[which] = prepare(open_bundle(Path(folder) / str(number)), cache_directory(), lambda _text: None)
        samples = uvloop.run(_ask_all(bundles, inputs, requests))
    return [
        Taken(
            name,
            which,
            made[which],
            tuple(latency_ms for latency_ms, _ in samples[same]),
            1e6 * statistics.fmean(_usd(made[same], book, held) for _, held in samples[same]),
        )
        for which, same in alike.items()
    ]


def _same(one: Plan, other: Plan) -> bool:
    return (one.functions, one.graphs) == (other.functions, other.graphs)


def _usd(made: Plan, book: PriceBook, held_ms: Mapping[str, Sequence[float]]) -> float:
    """Price of one request: measured durations, predicted cold starts."""
    starts = {predicted.name: predicted.init_ms for predicted in made.predicted.functions}
    return sum(
        calls_usd(book, float(function.memory_mib), function.cpu, billed_ms(book, held), 0.0, starts[function.name])
        for function in made.functions
        for held in held_ms[function.name]
    )


Sample = tuple[float, dict[str, list[float]]]
"""Latency of a request, and the duration of each call by function."""


async def _ask_all(
    bundles: Mapping[str, Bundle], inputs: Mapping[str, Array], requests: int
) -> dict[str, list[Sample]]:
    """Send requests to all bundles, interleaved, each at a random moment of a quota's period."""
    values = {name: from_array(name, value) for name, value in inputs.items()}
    random = np.random.default_rng(0)
    found: dict[str, list[Sample]] = {which: [] for which in bundles}
    async with contextlib.AsyncExitStack() as stack:
        executors = {}
        for which, bundle in bundles.items():
            deployment = await stack.enter_async_context(LocalDeployment(bundle))
            executors[which] = Executor(bundle.manifest, deployment.transport())
        for number in range(_WARM + requests):
            for which, executor in executors.items():
                await asyncio.sleep(random.uniform(1.0, 3.0) * LONGEST_PERIOD_MS / 1e3)
                started = time.perf_counter()
                async with executor.infer(values, None, _DEADLINE_S) as answer:
                    latency_ms = (time.perf_counter() - started) * 1e3
                    held: dict[str, list[float]] = {}
                    for timing in answer.timings:
                        held.setdefault(timing.function, []).append(timing.held_ns / 1e6)
                if number >= _WARM:
                    found[which].append((latency_ms, held))
        for executor in executors.values():
            await executor.close()
    return found


def _sizes(made: Plan) -> str:
    return " ".join(f"{function.memory_mib}" for function in made.functions)


def show_arithmetic(found: Mapping[str, dict[str, Plan]]) -> list[Compared]:
    """Print the predicted figures of all models; the comparisons."""
    rows = [
        (model, name, _sizes(made), f"{point_of(made)[0]:.3f}", f"{point_of(made)[1]:.1f}")
        for model, configs in found.items()
        for name, made in configs.items()
    ]
    table(("model", "configuration", "MiB of each function", "USD per million", "ms"), rows)
    return [
        one
        for model, configs in found.items()
        for one in compare(model, {name: point_of(made) for name, made in configs.items()})
    ]


def show_measured(found: Sequence[Taken]) -> list[Compared]:
    """Print predicted and measured figures, and the comparisons of the measured ones."""
    rows = []
    for one in found:
        (usd, ms), (was_usd, was_ms) = point_of(one.plan), one.point
        rows.append(
            (
                one.model,
                one.name,
                _sizes(one.plan),
                f"{usd:.3f}>{was_usd:.3f}",
                f"{usd / was_usd - 1:+.1%}",
                f"{ms:.1f}>{was_ms:.1f}",
                f"{ms / was_ms - 1:+.1%}",
                spread(one.latency_ms).text(".1f"),
            )
        )
    columns = ("model", "configuration", "MiB", "USD per million", "off", "mean ms", "off", "ms, median [middle half]")
    table(columns, rows)
    for what, index in (("cost", 0), ("latency", 1)):
        errors = [abs(point_of(one.plan)[index] / one.point[index] - 1) for one in found]
        print(f"{what}, predicted against measured: median error {spread(errors).p50:.1%}, worst {max(errors):.1%}")
    models = dict.fromkeys(one.model for one in found)
    return [
        one
        for model in models
        for one in compare(model, {taken.name: taken.point for taken in found if taken.model == model})
    ]


def judge(what: str, found: Sequence[Compared], tolerance: float) -> None:
    """Print how many comparisons hold, and each that does not."""
    misses = [one for one in found if not one.holds(tolerance)]
    print(f"{what}: no worse than either baseline in {len(found) - len(misses)} of {len(found)}: {met(not misses)}")
    for one in misses:
        print(f"  {one.model}, {one.objective}: {one.advice:.4g} against {one.other:.4g} {one.baseline}")
    print(flush=True)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--models", default=",".join(model.name for model in zoo_models() if model.in_mean))
    arguments.add_argument("--measure", default=",".join(MEASURED), metavar="NAME,..")
    arguments.add_argument("--requests", type=int, default=40, help="to each configuration")
    options = arguments.parse_args()
    say_where(0)
    if detect_cgroups() is None:
        raise SystemExit(str(why_unavailable()))
    book = load_book(BOOK)
    wanted = [name.strip() for name in options.models.split(",") if name.strip()]
    to_measure = [name.strip() for name in options.measure.split(",") if name.strip()]
    profiles = {}
    for name in dict.fromkeys((*wanted, *to_measure)):
        print(f"  {name}", file=sys.stderr, flush=True)
        profiles[name] = profile_of(name)
    by_arithmetic = show_arithmetic({name: configurations(profiles[name], book, limits_for(book)) for name in wanted})
    judge("by the planner's arithmetic", by_arithmetic, 1 + _TOLERANCE)
    taken: list[Taken] = []
    for name in to_measure:
        print(f"  {name}, measured", file=sys.stderr, flush=True)
        try:
            taken += measured(name, profiles[name], book, options.requests)
        except MoparError as error:
            print(f"MISSED: {name}: {error}")
    if taken:
        judge("as measured", show_measured(taken), EQUAL)
    write_raw(options.json, "coupled_book", {"seed": 0, "arithmetic": by_arithmetic, "measured": taken})


if __name__ == "__main__":
    main()
