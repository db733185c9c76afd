"""One architecture through all stages: profile, plans, builds, composed outputs, and serving several clients."""

import contextlib
import time
import traceback
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import uvloop

from benchmarks.architectures.model import Architecture, Arrays
from benchmarks.common import counters
from mopar.bundle import Bundle, build, compare, compare_all, open_bundle
from mopar.gateway.arrays import from_array, to_array
from mopar.gateway.client import Client
from mopar.gateway.executor import Executor
from mopar.graph import Model
from mopar.pipeline.bench.served import Server
from mopar.pipeline.profile import measure_model, predict_model
from mopar.pipeline.reference import ReferenceModel
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.platforms.local import LocalDeployment
from mopar.types import MoparError, Plan, Profile

CLIENTS, REQUESTS, INPUTS, TIMEOUT_S = 8, 48, 8, 60.0
MACHINES = str(Path(__file__).with_name("machines.toml"))
PLANS: Mapping[str, PlanOptions] = {
    "cost": PlanOptions(objective="cost"),
    "latency": PlanOptions(objective="latency", slo_ms=None),
    "balanced": PlanOptions(objective="balanced", slo_ms=None),
    "uniform": PlanOptions(uniform=3, slo_ms=None),
    "parts 2": PlanOptions(platform=MACHINES, objective="latency", slo_ms=None, max_parts=2),
    "parts 4": PlanOptions(platform=MACHINES, objective="latency", slo_ms=None, max_parts=4),
}
_LEAST_CHANGE = 1e-3
"""Ten times the tolerance of equality."""
Question = tuple[Arrays, Arrays]


@dataclass(frozen=True, slots=True)
class Tried:
    """A plan. ``shape`` is its functions per slice, as in ``1+2+1``; ``failed`` names the stage and the reason."""

    name: str
    shape: str = ""
    same_as: str | None = None
    worst: float | None = None
    failed: str | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """Results of concurrent requests from several clients.

    Attributes:
        plan: the one that was served.
        requests: how many were sent.
        unequal: how many outputs differed from the reference model's.
        errors: why others failed.
        restarts: how many workers were restarted, whether or not a request was affected.
    """

    plan: str
    requests: int
    unequal: int = 0
    errors: tuple[str, ...] = ()
    restarts: int = 0

    @property
    def failed(self) -> str | None:
        """The reason, if anything failed."""
        if self.errors:
            return f"{len(self.errors)} of {self.requests} refused: {self.errors[0]}"
        if self.unequal:
            return f"{self.unequal} of {self.requests} differ"
        return f"{self.restarts} times a worker died" if self.restarts else None


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of one architecture. ``failed`` is of a stage before any plan; ``exported``: torch could export it."""

    name: str
    measured: bool
    exported: bool = False
    failed: str | None = None
    plans: tuple[Tried, ...] = ()
    served: Served | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    traces: tuple[str, ...] = ()

    @property
    def failures(self) -> tuple[str, ...]:
        """All failures, each with its stage."""
        found = [self.failed, *(f"{one.name}: {one.failed}" if one.failed else None for one in self.plans)]
        if self.served is not None and self.served.failed:
            found.append(f"served {self.served.plan}: {self.served.failed}")
        return tuple(text for text in found if text)


class Stages:
    """The stages that have run: how long each took, and the error that stopped one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.traces: list[str] = []

    @contextlib.contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add a stage's time."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started

    def reason(self, stage: str, error: Exception) -> str:
        """Format an error in one line; keep the traceback of an error that is not meant for users."""
        if isinstance(error, MoparError):
            return f"{stage}: {type(error).__name__}: {error}".partition("\n")[0]
        self.traces.append(traceback.format_exc())
        return f"{stage}: {type(error).__name__}: {error}".partition("\n")[0]


def try_architecture(item: Architecture, path: Path, folder: Path, *, measured: bool) -> Trial:
    """Run as many stages as succeed; failures are recorded and never raised.

    Args:
        item: the architecture.
        path: its ONNX file.
        folder: an empty one, for inputs and bundles.
        measured: whether its profile is measured; otherwise it is predicted.
    """
    stages = Stages()
    trial = Trial(item.name, measured, exported=True)
    try:
        with stages.timed("profile"):
            np.savez(folder / "inputs.npz", allow_pickle=False, **item.request(sizes=item.middle))
            profiler = measure_model if measured else predict_model
            model, profile = profiler(path, inputs=folder / "inputs.npz", shapes=item.ranges())
    except Exception as error:  # noqa: BLE001  whatever stops it is what the trial is for
        return replace(trial, failed=stages.reason("profile", error), seconds=stages.seconds, traces=(*stages.traces,))
    reference = ReferenceModel(path)
    questions = [
        (inputs, reference.infer(inputs))
        for inputs in (item.request(seed, item.points[seed % len(item.points)]) for seed in range(INPUTS))
    ]
    reason = _telling_nothing(questions[0][1], questions[len(item.points)][1])
    if reason is not None:
        return replace(trial, failed=f"answers: {reason}", seconds=stages.seconds)
    plans, best = _try_plans(model, profile, questions, len(item.points), folder, stages)
    served = None if best is None else _served(best[0], best[1], questions, stages)
    return replace(
        trial, plans=tuple(plans), served=served, seconds=stages.seconds, traces=tuple(dict.fromkeys(stages.traces))
    )


def _telling_nothing(one: Arrays, other: Arrays) -> str | None:
    """Return why outputs of two requests of the same sizes could not reveal a wrong plan; None where they could."""
    for name, value in one.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            return f"output {name!r} is not finite"
        if value.dtype.kind == "f" and compare(name, value, other[name]).max_rel_error < _LEAST_CHANGE:
            return f"output {name!r} hardly depends on the inputs"
    return None


def _try_plans(
    model: Model, profile: Profile, questions: list[Question], points: int, folder: Path, stages: Stages
) -> tuple[list[Tried], tuple[str, Bundle] | None]:
    """Try each plan; of those with equal outputs, return the one with parts and the most functions."""
    tried: list[Tried] = []
    known: dict[object, str] = {}
    rank, best = (0, 0), None
    for name, options in PLANS.items():
        one, made = _planned(name, profile, options, stages)
        key = made and made.graphs
        if made is None or key in known:
            tried.append(replace(one, same_as=known.get(key)) if made else one)
            continue
        known[key] = name
        bundle, one = _built(one, model, made, folder / name.replace(" ", "-"), stages)
        if bundle is not None:
            one = _compared(one, bundle, questions[: max(points, 2)], stages)
        tried.append(one)
        worth = any(graph.part for graph in made.graphs), len(made.functions)
        if bundle is not None and one.failed is None and worth > rank:
            rank, best = worth, (name, bundle)
    return tried, best


def _planned(name: str, profile: Profile, options: PlanOptions, stages: Stages) -> tuple[Tried, Plan | None]:
    try:
        with stages.timed("plan"):
            made = make_plan(profile, options)
    except Exception as error:  # noqa: BLE001
        return Tried(name, failed=stages.reason("plan", error)), None
    return Tried(name, shape_of(made)), made


def _built(one: Tried, model: Model, made: Plan, out: Path, stages: Stages) -> tuple[Bundle | None, Tried]:
    try:
        with stages.timed("build"):
            build(model, made, out)
            return open_bundle(out), one
    except Exception as error:  # noqa: BLE001
        return None, replace(one, failed=stages.reason("build", error))


def _compared(one: Tried, bundle: Bundle, questions: list[Question], stages: Stages) -> Tried:
    """Compare outputs of the functions, run without limits, for one request after the other, at all sizes."""
    try:
        with stages.timed("compare"):
            worst, failed = uvloop.run(_differences(bundle, questions))
    except Exception as error:  # noqa: BLE001
        return replace(one, failed=stages.reason("compare", error))
    return replace(one, worst=worst, failed=failed)


async def _differences(bundle: Bundle, questions: list[Question]) -> tuple[float, str | None]:
    worst = 0.0
    async with LocalDeployment(bundle, limits=False) as deployment:
        executor = Executor(bundle.manifest, deployment.transport())
        for inputs, want in questions:
            values = {name: from_array(name, value) for name, value in inputs.items()}
            async with executor.infer(values, None, TIMEOUT_S) as answer:
                found = compare_all({value.name: to_array(value) for value in answer.outputs}, want)
            worst = max(worst, *(difference.max_rel_error for difference in found))
            unequal = [difference for difference in found if not difference.equal]
            if unequal:
                shapes = ", ".join(f"{name} {value.shape}" for name, value in inputs.items())
                return worst, f"compare: {unequal[0]} with {shapes}"
        await executor.close()
    return worst, None


def _served(name: str, bundle: Bundle, questions: list[Question], stages: Stages) -> Served:
    try:
        with stages.timed("serve"):
            server = Server(bundle)
            try:
                found = _asked(name, server.client.url, questions)
                return replace(found, restarts=int(counters(server.client.url)["restarts"]))
            finally:
                server.stop()
    except Exception as error:  # noqa: BLE001
        return Served(name, REQUESTS, errors=(stages.reason("serve", error),))


def _asked(name: str, url: str, questions: list[Question]) -> Served:
    """Send requests from clients on separate connections, each with every n-th request, so that sizes are mixed."""

    def ask(first: int) -> list[str | bool]:
        found: list[str | bool] = []
        with Client(url, timeout_s=TIMEOUT_S) as client:
            for number in range(first, REQUESTS, CLIENTS):
                # Clients must not all send the same request at the same time, nor one client always the same.
                inputs, want = questions[(number + number // CLIENTS) % len(questions)]
                try:
                    found.append(all(difference.equal for difference in compare_all(client.infer(inputs), want)))
                except MoparError as error:
                    found.append(f"{type(error).__name__}: {error}")
        return found

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = [answer for found in pool.map(ask, range(CLIENTS)) for answer in found]
    errors = tuple(answer for answer in answers if isinstance(answer, str))
    return Served(name, REQUESTS, sum(answer is False for answer in answers), errors)


def shape_of(plan: Plan) -> str:
    """Number of functions of each slice: ``1+2+1``."""
    graphs = {graph.id: graph for graph in plan.graphs}
    slices: list[int] = []
    reached = -1
    for function in plan.functions:
        held = [graphs[graph] for graph in function.graphs]
        if min(graph.start for graph in held) < reached:
            slices[-1] += 1
        else:
            slices.append(1)
        reached = max(reached, *(graph.stop for graph in held))
    return "+".join(map(str, slices))
