"""AWS Lambda: each zoo model's verdict and sizes as predicted, and models measured on Amazon's emulator beside it.

    python -m benchmarks.lambda_models [--models NAME,..] [--measure NAME,..] [--requests 60] [--json FILE]

First as predicted, for x86 and arm prices: what `mopar plan --platform aws-lambda` advises, and the unsplit model at
its best size, at 1,769 MB (one CPU) and at the smallest that it fits, whether archives and messages could hold it or
not. Then measured, each function on the emulator with the memory and the share of CPU that it buys: the advice, the
fastest plan of functions of one CPU, both with at most as many parts side by side as this machine has cores, and the
unsplit model with one CPU; requests to them are interleaved. What a call through the emulator costs is measured before,
with caches as other models leave them, and all are planned with it. The cost is that of the durations which the
emulator reports. Goals: equal answers, latency and cost within 10% of the prediction.
"""

import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.common import met, parser, say_where, spread, table, write_raw
from benchmarks.coupled_book import sized
from benchmarks.deployed import Target, deployed, interleaved
from benchmarks.platform_hops import FLOATS, echo_bundle
from benchmarks.verdicts import floor_mib, profile_of
from mopar.bundle import Bundle, build, open_bundle
from mopar.gateway.client import Client
from mopar.graph import load_model
from mopar.limits import detect_cgroups, why_unavailable
from mopar.pipeline.reference import ReferenceModel
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.planning import plan
from mopar.platforms.aws_lambda.options import LambdaOptions
from mopar.platforms.aws_lambda.platform import PLATFORM
from mopar.platforms.books import load_book, load_limits
from mopar.types import InfeasibleError, Plan, PlatformLimits, PriceBook, Profile
from mopar.zoo import zoo_models
from tests.models import materialise, sample_inputs

BOOKS = ("aws-lambda-x86", "aws-lambda-arm")
ADVICE, FASTEST, ONE_CPU = "mopar", "mopar, fastest of one CPU each", "unsplit, one CPU"
MEASURED = "resnet50,vgg16,efficientnet-b0,inception-v3"
GOAL = 0.10
_MIB = 1 << 20
_HOP_CALLS = 60
_CACHES_BYTES = 64 << 20
"""More than a core's share of the caches: what is written between calls, as other models do between requests."""
_MILLION = 1e6
_ROUNDED_UP_MS = 0.5
"""What rounding up to 1 ms adds to a duration in the mean."""


@dataclass(frozen=True, slots=True)
class Advice:
    """A plan for a model and a book.

    Attributes:
        model, book: names.
        what: which plan.
        plan: it.
    """

    model: str
    book: str
    what: str
    plan: Plan

    def row(self) -> tuple[str, ...]:
        """Of the table of predictions."""
        sizes = " ".join(str(function.memory_mib) for function in self.plan.functions)
        predicted = self.plan.predicted
        advised = self.what.startswith(ADVICE)
        reason, verdict = (self.plan.reason, self.plan.verdict) if advised else ("", "")
        cost = f"{predicted.cost_per_million_usd:.3f}"
        return self.model, self.book, self.what, verdict, sizes, cost, f"{predicted.latency_ms:.1f}", reason


def advices(name: str, profile: Profile, book: PriceBook, limits: PlatformLimits) -> Iterator[Advice]:
    """The advice, then the unsplit model at three sizes."""
    assert book.mib_per_vcpu is not None
    try:
        yield Advice(name, book.name, ADVICE, plan(profile, book, limits))
    except InfeasibleError:  # a tensor that no message holds
        stored = PlanOptions("aws-lambda", prices=book.name, object_store=True)
        yield Advice(name, book.name, f"{ADVICE}, with S3", make_plan(profile, stored))
    anywhere = replace(limits, package_bytes=None, payload_bytes=None)
    best = plan(profile, book, anywhere, max_functions=1, max_parts=1)
    yield Advice(name, book.name, "unsplit, best size", best)
    floor = floor_mib(profile, book, anywhere)
    yield Advice(name, book.name, ONE_CPU, sized(profile, book, anywhere, max(floor, book.mib_per_vcpu)))
    yield Advice(name, book.name, "unsplit, smallest size", sized(profile, book, anywhere, floor))


@contextlib.contextmanager
def emulated(bundle: Bundle, name: str) -> Iterator[Client]:
    """A client of a bundle whose functions run on emulators."""
    with deployed(PLATFORM, bundle, LambdaOptions(emulate=True), name) as client:
        yield client


def limits_here(home: Path) -> PlatformLimits:
    """Lambda's limits with what a call through the emulator of this machine costs."""
    bundle = echo_bundle(home / "echo")
    wide = replace_memory(bundle, round(load_book(BOOKS[0]).mib_per_vcpu or 0))
    taken = {}
    others = np.empty(_CACHES_BYTES, np.uint8)
    with emulated(wide, "echo") as client:
        for size, count in FLOATS.items():
            values = {"x": np.arange(count, dtype=np.float32)}
            latency, billed = [], []
            for number in range(_HOP_CALLS + 5):
                others.fill(number)
                began = time.perf_counter()
                client.infer(values)
                if number >= 5:
                    latency.append((time.perf_counter() - began) * 1e3)
                    billed.append(client.timings["f0"]["billed"] - _ROUNDED_UP_MS)
            taken[size] = statistics.median(latency), statistics.fmean(billed)
    (small, small_billed), _, (large, large_billed) = taken.values()
    few, _, many = [4 * count / _MIB for count in FLOATS.values()]
    per_mib = (large - small) / (2 * (many - few))
    return replace(
        load_limits("aws-lambda"),
        shares_host=True,
        hop_ms=small - 2 * few * per_mib,
        hop_ms_per_mib=per_mib,
        hop_billed_share=small_billed / small,
        wire_billed_share=(large_billed - small_billed) / (large - small),
    )


def replace_memory(bundle: Bundle, memory_mib: int) -> Bundle:
    """The bundle with functions of that size and a CPU each."""
    functions = tuple(replace(one, memory_mib=memory_mib, cpu=1.0) for one in bundle.manifest.plan.functions)
    planned = replace(bundle.manifest.plan, functions=functions, platform="aws-lambda")
    return replace(bundle, manifest=replace(bundle.manifest, plan=planned))


def plans_to_measure(profile: Profile, book: PriceBook, limits: PlatformLimits) -> dict[str, Plan]:
    """Those that differ."""
    assert book.mib_per_vcpu is not None
    cores = len(os.sched_getaffinity(0))
    found = {ADVICE: plan(profile, book, limits, max_parts=cores)}
    fastest = plan(profile, book, limits, objective="latency", max_cpu=1.0, max_parts=cores)
    one = sized(profile, book, limits, max(book.mib_per_vcpu, found[ADVICE].unsplit.functions[0].memory_mib))
    for what, made in ((FASTEST, fastest), (ONE_CPU, one)):
        if all((made.functions, made.graphs) != (other.functions, other.graphs) for other in found.values()):
            found[what] = made
    return found


@dataclass(frozen=True, slots=True)
class Measured:
    """A plan on the emulator.

    Attributes:
        model, what: which plan.
        plan: it.
        latency_ms: of each request.
        usd_per_million: mean, by the emulator's durations.
        equal: whether every answer was the unsplit model's.
    """

    model: str
    what: str
    plan: Plan
    latency_ms: tuple[float, ...]
    usd_per_million: float
    equal: bool

    @property
    def off(self) -> tuple[float, float]:
        """How far latency and cost are from the prediction, as shares of it."""
        predicted = self.plan.predicted
        latency = statistics.median(self.latency_ms) / predicted.latency_ms
        return latency - 1, self.usd_per_million / predicted.cost_per_million_usd - 1

    def row(self) -> tuple[str, ...]:
        """Of the table of measurements."""
        predicted = self.plan.predicted
        latency_off, cost_off = self.off
        return (
            self.model,
            self.what,
            " ".join(str(function.memory_mib) for function in self.plan.functions),
            f"{predicted.latency_ms:.1f}",
            spread(self.latency_ms).text(".1f"),
            f"{latency_off:+.1%} {met(abs(latency_off) <= GOAL)}",
            f"{predicted.cost_per_million_usd:.3f}",
            f"{self.usd_per_million:.3f}",
            f"{cost_off:+.1%} {met(abs(cost_off) <= GOAL)}",
            "yes" if self.equal else "NO",
        )


def measured(name: str, profile: Profile, limits: PlatformLimits, requests: int, home: Path) -> list[Measured]:
    """All plans of a model, on emulators side by side."""
    plans = plans_to_measure(profile, load_book(BOOKS[0]), limits)
    model, inputs = load_model(materialise(name)), sample_inputs(name)
    want = ReferenceModel(materialise(name)).infer(inputs)
    with contextlib.ExitStack() as stack:
        targets = []
        for number, (what, made) in enumerate(plans.items()):
            root = home / f"{name}-{number}"
            build(model, made, root)
            client = stack.enter_context(emulated(open_bundle(root), f"{name}-{number}"))
            targets.append(Target(what, "", client))
        for target in targets:
            target.client.infer(inputs)
        before = {what: _usd_and_calls(f"{name}-{number}") for number, what in enumerate(plans)}
        taken = interleaved(targets, inputs, requests, want)
        after = {what: _usd_and_calls(f"{name}-{number}") for number, what in enumerate(plans)}
    return [
        Measured(
            name,
            what,
            made,
            tuple(taken[what, ""].latency_ms),
            (after[what][0] - before[what][0]) / (after[what][1] - before[what][1]) * _MILLION * len(made.calls),
            taken[what, ""].equal,
        )
        for what, made in plans.items()
    ]


def _usd_and_calls(name: str) -> tuple[float, int]:
    """What all calls of a deployment have cost, and their number."""
    found = PLATFORM.status(name, LambdaOptions(emulate=True))
    bills = [function.billed for function in found.functions if function.billed is not None]
    return sum(bill.cost_usd for bill in bills), sum(bill.calls for bill in bills)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--models", default=",".join(model.name for model in zoo_models() if model.in_mean))
    arguments.add_argument("--measure", default=MEASURED, metavar="NAME,..")
    arguments.add_argument("--requests", type=int, default=60)
    options = arguments.parse_args()
    say_where(0)
    if detect_cgroups() is None:
        raise SystemExit(str(why_unavailable()))
    wanted, to_measure = (
        [name.strip() for name in names.split(",") if name.strip()] for names in (options.models, options.measure)
    )
    profiles = {}
    for name in dict.fromkeys((*wanted, *to_measure)):
        print(f"  {name}", file=sys.stderr, flush=True)
        profiles[name] = profile_of(name)
    predicted = predictions({name: profiles[name] for name in wanted})
    taken: list[Measured] = []
    if to_measure:
        with tempfile.TemporaryDirectory(prefix="mopar-lambda-models-") as home:
            limits = limits_here(Path(home))
            print(
                f"\nA call through the emulator takes {limits.hop_ms:.2f} ms, and {limits.hop_ms_per_mib:.2f} ms for "
                f"each MiB and direction; {limits.hop_billed_share:.0%} and {limits.wire_billed_share:.0%} are billed"
            )
            for name in to_measure:
                print(f"  {name}, measured", file=sys.stderr, flush=True)
                taken += measured(name, profiles[name], limits, options.requests, Path(home))
        columns = ("model", "plan", "MB", "ms, predicted", "measured", "10%", "USD/M, predicted", "measured", "10%")
        table((*columns, "equal"), [one.row() for one in taken])
    write_raw(options.json, "lambda_models", {"seed": 0, "predicted": predicted, "measured": taken})


def predictions(profiles: Mapping[str, Profile]) -> list[Advice]:
    """Print and return the predictions for all models and both books."""
    limits = load_limits("aws-lambda")
    found = [
        advice
        for name, profile in profiles.items()
        for book in BOOKS
        for advice in advices(name, profile, load_book(book), limits)
    ]
    columns = ("model", "prices", "plan", "verdict", "MB", "USD per million", "ms", "reason")
    table(columns, [one.row() for one in found])
    return found


if __name__ == "__main__":
    main()
