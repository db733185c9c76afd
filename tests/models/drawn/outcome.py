"""One random model: profiled, planned in many ways, and composed again; the outcome."""

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from mopar.bundle import build, compare_all, open_bundle
from mopar.graph import Model, load_model
from mopar.measurement.recording import record
from mopar.types import MoparError, Plan, Profile
from tests.models.drawn.composed import Composer, whole
from tests.models.drawn.drawing import Array
from tests.models.drawn.models import Drawn, draw
from tests.models.drawn.plans import plans_of
from tests.models.drawn.profiles import large_profile, measured_profile, plain_profile

_PLAIN, _MEASURED, _BUILT = 50, 50, 100
"""One seed in so many also has its own kind of profile, or a plan that is built and run by workers."""


@dataclass(slots=True)
class Outcome:
    """Outcome of one seed.

    Attributes:
        seed, family, blocks: of the model.
        plans: number of different ones.
        split: number of those with several functions.
        with_parts: number of those with parallel functions.
        refused: errors of profiling, planning and building.
        wrong: outputs that differ, and by how much.
        crashed: errors other than a ``MoparError``.
        seconds: total time.
    """

    seed: int
    family: str
    blocks: tuple[str, ...]
    plans: int = 0
    split: int = 0
    with_parts: int = 0
    refused: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    crashed: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failures(self) -> list[str]:
        """All failures."""
        lists = {"refused": self.refused, "wrong": self.wrong, "crashed": self.crashed}
        return [f"{what}: {line}" for what, lines in lists.items() for line in lines]


def check(seed: int) -> Outcome:
    """Draw the model of a seed and check all of its plans."""
    begun = time.perf_counter()
    drawn = draw(seed)
    found = Outcome(seed, drawn.family, drawn.blocks)
    with tempfile.TemporaryDirectory(prefix="mopar-drawn-") as folder:
        path = Path(folder) / f"{drawn.model.graph.name}.onnx"
        onnx.save(drawn.model, path)
        try:
            model = load_model(path)
            _check_profiles(drawn, model, found, Path(folder))
        except MoparError as refusal:
            found.refused.append(f"{type(refusal).__name__}: {refusal}")
    found.seconds = time.perf_counter() - begun
    return found


def _check_profiles(drawn: Drawn, model: Model, found: Outcome, folder: Path) -> None:
    kinds: dict[str, Callable[[Model, Mapping[str, Array], np.random.Generator], Profile]] = {"large": large_profile}
    if drawn.seed % _PLAIN == 0:
        kinds["plain"] = plain_profile
    if drawn.seed % _MEASURED == 0:
        kinds["measured"] = measured_profile
    requests = [drawn.values(point) for point in drawn.points]
    data = drawn.model.SerializeToString()
    wanted = [whole(data, values) for values in requests]
    composer, random = Composer(model), np.random.default_rng([drawn.seed, 3])
    for kind, profile_of in kinds.items():
        for made in plans_of(profile_of(model, requests[0], random), random):
            found.plans += 1
            found.split += len(made.plan.functions) > 1
            found.with_parts += any(graph.part is not None for graph in made.plan.graphs)
            where = f"{kind}, {made.label}"
            try:
                composition = composer.prepare(made.plan)
            except MoparError as refusal:
                found.refused.append(f"{where}: {refusal}")
                continue
            for values, want in zip(requests, wanted, strict=True):
                try:
                    got = composition.run(values)
                except _ENGINE as refusal:
                    found.wrong.append(f"{where}: {str(refusal)[:300]}")
                    break
                found.wrong.extend(f"{where}: {line}" for line in _differences(got, want))
        if drawn.seed % _BUILT == 0 and kind == "large":
            found.wrong.extend(_by_workers(model, made.plan, requests, wanted, folder))


_ENGINE = (
    ort.capi.onnxruntime_pybind11_state.Fail,
    ort.capi.onnxruntime_pybind11_state.InvalidArgument,
    ort.capi.onnxruntime_pybind11_state.RuntimeException,
)


def _by_workers(
    model: Model, plan: Plan, requests: list[dict[str, Array]], wanted: list[dict[str, Array]], folder: Path
) -> list[str]:
    """Differences of the outputs of a plan's packed bundle, run function by function."""
    build(model, plan, folder / "bundle")
    bundle = open_bundle(folder / "bundle")
    found = []
    for values, want in zip(requests, wanted, strict=True):
        found += [f"by workers: {line}" for line in _differences(record(bundle, values).outputs, want)]
    return found


def _differences(got: Mapping[str, Array], want: Mapping[str, Array]) -> list[str]:
    return [f"{one.name} is off by {one.max_rel_error:.2e}" for one in compare_all(got, want) if not one.equal]
