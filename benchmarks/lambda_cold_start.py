"""Cold start of a model on AWS Lambda: as one image, and cut into archives whose functions start side by side.

    python -m benchmarks.lambda_cold_start [--model vgg16] [--starts 5] [--json FILE]

Whole is the unsplit model at its best size, which has to be an image where an archive would exceed 250 MB. Cut is what
`mopar plan --platform aws-lambda` advises within that limit, in archives, the cheapest such plan, however slow, and
what it advises with the shortest `--max-start-ms` that a plan can keep. All run on Amazon's emulator with the memory
and the share of CPU that each function buys. Before each start Python, ONNX Runtime and all files of the functions are
evicted from the page cache. An answer counts from the start of all functions at once to the end of the first request;
billed are initialisations and calls, by the emulator's durations. What fetching an image or an archive takes on Lambda
is not in it.

Here all functions share this machine's cores and disk, while on Lambda each has a host of its own. So each is also
started alone, and after another start from nothing the first request's calls are made one at a time. The longest start,
and from there the longest path through the calls, are what the first answer takes with hosts of their own; beyond that,
functions only share pages of libraries that one of them has read before the other. Goal: the first answer of the cut
model within 0.6 of the whole one's time.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path

import onnxruntime
import uvloop

from benchmarks.calls_in_turn import OneAtATime
from benchmarks.common import met, parser, say_where, spread, table, write_raw
from benchmarks.verdicts import profile_of
from mopar.bundle import Bundle, build, compare_all, open_bundle
from mopar.files import from_json, read_bounded
from mopar.gateway.arrays import Array, from_array, to_array
from mopar.gateway.executor import Executor
from mopar.graph import load_model
from mopar.limits import detect_cgroups, evict_files, why_unavailable
from mopar.pipeline.reference import ReferenceModel
from mopar.planning import plan
from mopar.platforms.aws_lambda.emulated import TRANSPORT
from mopar.platforms.aws_lambda.instances import EmulatedDeployment
from mopar.platforms.aws_lambda.options import LambdaOptions
from mopar.platforms.aws_lambda.platform import PLATFORM
from mopar.platforms.books import load_book, load_limits
from mopar.platforms.endpoints import Endpoints
from mopar.platforms.gateways import BackgroundGateways
from mopar.types import InfeasibleError, Plan, PlatformError, PlatformLimits, PriceBook, Profile, TensorValue
from tests.models import materialise, sample_inputs

GOAL = 0.6
WHOLE, CUT, CHEAPEST, SOONEST = "whole, an image", "cut, archives", "cut for least cost", "cut for starts"
_ROOM = 1.02
"""Beyond the shortest start that a plan can keep."""
_DEADLINE_S = 120.0
_UNUSED = {"site-packages", "test", "idlelib", "tkinter", "ensurepip"}
"""Folders of Python's library that no function reads."""


@dataclass(frozen=True, slots=True)
class Start:
    """A cold start and the first request.

    Attributes:
        first_answer_ms: from the start of all functions.
        ready_ms: until all are initialised.
        init_ms: of each function's initialisation, by its name.
        alone_ms: of each function's start, when no other runs.
        path_ms: the longest path through the calls of a first request, each made when no other runs.
        usd: billed for initialisations and calls.
    """

    first_answer_ms: float
    ready_ms: float
    init_ms: Mapping[str, float]
    alone_ms: Mapping[str, float]
    path_ms: float
    usd: float

    @property
    def on_own_hosts_ms(self) -> float:
        """The first answer where each function has a host of its own."""
        return max(self.alone_ms.values()) + self.path_ms


Found = dict[str, tuple[Plan, list[Start]]]
"""By the names of plans, these and their starts."""


def plans(profile: Profile) -> dict[str, tuple[Plan, str]]:
    """The unsplit plan, the advice, the cheapest plan and what starts soonest, each with its packages' kind."""
    limits = load_limits("aws-lambda")
    book = load_book(limits.prices)
    whole = plan(profile, book, replace(limits, package_bytes=None), max_functions=1, max_parts=1)
    cheapest = plan(profile, book, limits, slo_ms=None)
    soonest = plan(profile, book, replace(limits, max_start_ms=_ROOM * _least_start_ms(profile, book, limits)))
    return {
        WHOLE: (whole, "image"),
        CUT: (plan(profile, book, limits), "zip"),
        CHEAPEST: (cheapest, "zip"),
        SOONEST: (soonest, "zip"),
    }


def _least_start_ms(profile: Profile, book: PriceBook, limits: PlatformLimits) -> float:
    try:
        plan(profile, book, replace(limits, max_start_ms=1.0))
    except InfeasibleError as error:
        return error.nearest or 1.0
    return 1.0


@contextmanager
def emulated(bundle: Bundle, name: str, kind: str) -> Iterator[Endpoints]:
    """The folders of a bundle's emulated functions, none of which runs."""
    options = LambdaOptions(emulate=True, package_kind=kind)
    PLATFORM.deploy(bundle, name, options, lambda _stage: None)
    try:
        gateways = BackgroundGateways(TRANSPORT)
        path = gateways.functions_file(name)
        endpoints = from_json(read_bounded(path), Endpoints, what=str(path), error=PlatformError)
        record = gateways.find(name)
        assert record is not None, "it was deployed"
        gateways.stop(record)
        yield endpoints
    finally:
        PLATFORM.remove(name, options, lambda _stage: None)


async def started(
    bundle: Bundle, endpoints: Endpoints, inputs: Mapping[str, Array], want: Mapping[str, Array]
) -> Start:
    """Start all functions with nothing in the page cache, and send a request; then each function by itself."""
    values = {name: from_array(name, value) for name, value in inputs.items()}
    evict_files(_files(endpoints))
    began = time.perf_counter()
    async with _deployed(bundle, endpoints) as deployment:
        ready_ms = (time.perf_counter() - began) * 1e3
        init_ms = {name: one.init_ms for name, one in deployment.functions.items()}
        executor = Executor(bundle.manifest, deployment.transport())
        async with executor.infer(values, None, _DEADLINE_S) as answer:
            first_answer_ms = (time.perf_counter() - began) * 1e3
            got = {value.name: to_array(value).copy() for value in answer.outputs}
            usd = sum(timing.bill.usd for timing in answer.timings if timing.bill is not None)
        await executor.close()
    assert all(one.equal for one in compare_all(got, want)), "the answer is another one"
    alone_ms = {
        name: await _alone_ms(bundle, replace(endpoints, functions={name: places}))
        for name, places in endpoints.functions.items()
    }
    path_ms = await _path_ms(bundle, endpoints, values)
    return Start(first_answer_ms, ready_ms, init_ms, alone_ms, path_ms, usd)


def _deployed(bundle: Bundle, endpoints: Endpoints) -> EmulatedDeployment:
    return EmulatedDeployment(endpoints, bundle.manifest, lambda _name: None)


async def _path_ms(bundle: Bundle, endpoints: Endpoints, values: Mapping[str, TensorValue]) -> float:
    """The longest path through a first request's calls, which are made one at a time."""
    evict_files(_files(endpoints))
    async with _deployed(bundle, endpoints) as deployment:
        transport = OneAtATime(deployment.transport())
        executor = Executor(bundle.manifest, transport)
        async with executor.infer(values, None, _DEADLINE_S):
            pass
        await executor.close()
    return transport.path_ms(bundle.manifest.plan)


async def _alone_ms(bundle: Bundle, endpoints: Endpoints) -> float:
    """The start of a function with nothing in the page cache."""
    evict_files(_files(endpoints))
    began = time.perf_counter()
    async with _deployed(bundle, endpoints):
        return (time.perf_counter() - began) * 1e3


def _files(endpoints: Endpoints) -> list[Path]:
    """What the functions read when they start: their own files, Python and ONNX Runtime."""
    roots = [Path(folder) for places in endpoints.functions.values() for folder in places]
    roots.append(Path(os.__file__).parent)
    found = [path for root in roots for path in root.rglob("*") if path.is_file() and not _UNUSED & {*path.parts}]
    return [*found, *Path(onnxruntime.__file__).parent.rglob("*.so*"), Path(sys.executable).resolve()]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--model", default="vgg16")
    arguments.add_argument("--starts", type=int, default=5)
    options = arguments.parse_args()
    say_where(0)
    if detect_cgroups() is None:
        raise SystemExit(str(why_unavailable()))
    found = measured(options.model, options.starts)
    rows = []
    for what, (made, starts) in found.items():
        inits = [max(start.init_ms.values()) for start in starts]
        rows.append(
            (
                what,
                " ".join(str(function.memory_mib) for function in made.functions),
                spread(inits).text(".0f"),
                spread([start.first_answer_ms for start in starts]).text(".0f"),
                spread([max(start.alone_ms.values()) for start in starts]).text(".0f"),
                spread([start.on_own_hosts_ms for start in starts]).text(".0f"),
                f"{statistics.median(start.usd for start in starts) * 1e6:.1f}",
            )
        )
    print(f"{options.model}, {options.starts} starts")
    columns = ("MB of each function", "longest init, ms", "first answer, ms", "longest start alone, ms")
    table(("", *columns, "first answer, own hosts", "USD per million starts"), rows)
    table(("", "MB", "CPU", "planned start, ms", "alone", "planned / alone"), _planned(found))
    for what in (CUT, CHEAPEST, SOONEST):
        here, apart = (
            statistics.median(of(one) for one in found[what][1]) / statistics.median(of(one) for one in found[WHOLE][1])
            for of in (attrgetter("first_answer_ms"), attrgetter("on_own_hosts_ms"))
        )
        print(
            f"{what} / whole: first answer {here:.2f}x on this machine, {apart:.2f}x on own hosts, goal {GOAL}:",
            end=" ",
        )
        print(f"{met(here <= GOAL)}, {met(apart <= GOAL)}")
    write_raw(options.json, "lambda_cold_start", {"starts": {what: starts for what, (_, starts) in found.items()}})


def _planned(found: Found) -> list[tuple[str, ...]]:
    """Starts as planned, and measured alone: of a plan's functions with the same ones, the first."""
    rows: dict[tuple[str, int, int], tuple[str, ...]] = {}
    for what, (made, starts) in found.items():
        for function, predicted in zip(made.functions, made.predicted.functions, strict=True):
            alone_ms = statistics.median(start.alone_ms[function.name] for start in starts)
            row = (
                what,
                str(function.memory_mib),
                f"{function.cpu:.2f}",
                f"{predicted.init_ms:.0f}",
                f"{alone_ms:.0f}",
                f"{predicted.init_ms / alone_ms - 1:+.0%}",
            )
            rows.setdefault((what, function.memory_mib, round(predicted.init_ms)), row)
    return list(rows.values())


def measured(name: str, starts: int) -> Found:
    """The starts of each plan."""
    profile, model = profile_of(name), load_model(materialise(name))
    inputs = sample_inputs(name)
    want = ReferenceModel(materialise(name)).infer(inputs)
    found: Found = {}
    with tempfile.TemporaryDirectory(prefix="mopar-lambda-start-") as home:
        for number, (what, (made, kind)) in enumerate(plans(profile).items()):
            root = Path(home) / str(number)
            build(model, made, root)
            bundle = open_bundle(root)
            with emulated(bundle, f"start-{number}", kind) as endpoints:
                taken = [uvloop.run(started(bundle, endpoints, inputs, want)) for _ in range(starts)]
            found[what] = made, taken
    return found


if __name__ == "__main__":
    main()
