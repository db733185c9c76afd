"""The best codecs for given cuts, by trying all of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

from mopar.graph import Model, layers_of
from mopar.measurement.codec_costs import CodecCosts
from mopar.pipeline.codecs.calibration import Calibration
from mopar.pipeline.codecs.losses import Losses
from mopar.pipeline.codecs.offers import Boundary
from mopar.pipeline.codecs.options import CodecOptions
from mopar.pipeline.stages import PlanOptions, limits_of, make_plan
from mopar.planning import evaluate, shape_of
from mopar.platforms.books import load_book
from mopar.profiling import Progress
from mopar.types import Profile, TensorCoding


@dataclass(frozen=True, slots=True)
class Best:
    """The quickest plan that keeps a budget.

    Attributes:
        latency_ms: as predicted.
        codecs: of each tensor that is encoded.
        lost: points.
        assignments: how many there are; those that are quicker than the best were all measured.
        measured: how many were.
        raw_ms: as predicted with nothing encoded.
    """

    latency_ms: float
    codecs: Mapping[str, str]
    lost: float
    assignments: int
    measured: int
    raw_ms: float


def best_of_all(
    model: Model,
    profile: Profile,
    options: PlanOptions,
    calibration: Calibration,
    codecs: CodecOptions,
    costs: CodecCosts,
    *,
    hopeless: float = float("inf"),
    progress: Progress = lambda _stage, _share: None,
) -> Best:
    """Every codec, or none, on every tensor that crosses given cuts, from the quickest on until one keeps the budget.

    A codec that alone loses more than ``hopeless`` budgets is in none; by default all are tried. Each tensor's codec
    changes a chain's latency by the same whatever the others have; the assignment that is found is evaluated whole.
    """
    plan = make_plan(profile, options)
    limits = limits_of(options)
    book, shape = load_book(options.prices or limits.prices), shape_of(plan)
    boundary = Boundary(model, layers_of(model), profile, calibration.fitted)
    losses = Losses(model, calibration, codecs.metric)
    read = {name for graph in plan.graphs for name in graph.inputs}
    offered = {name: found for name, found in boundary.offers(costs, codecs.allows).items() if name in read and found}

    def latency_ms(codings: Mapping[str, TensorCoding]) -> float:
        return evaluate(profile, book, limits, shape, codings).latency_ms

    raw_ms = latency_ms({})
    own: list[list[tuple[float, str, TensorCoding | None]]] = []
    fitted = {}
    for name, codings in offered.items():
        fit = boundary.fitting(name, progress)
        fitted.update({(name, coding.text): fit(coding.text) for coding in codings})
        hopeful = [
            coding
            for coding in codings
            if hopeless == float("inf")
            or losses.alone(plan, name, fitted[name, coding.text]) <= hopeless * codecs.budget
        ]
        own.append([(0.0, name, None), *((latency_ms({name: one}) - raw_ms, name, one) for one in hopeful)])
    everything = sorted(product(*own), key=lambda parts: sum(ms for ms, _, _ in parts))
    for number, parts in enumerate(everything, 1):
        chosen = {name: coding for _, name, coding in parts if coding is not None}
        codes = {name: fitted[name, coding.text] for name, coding in chosen.items()}
        _, lost = losses.of(plan, codes)
        progress("trying all", number / len(everything))
        if lost <= codecs.budget:
            texts = {name: coding.text for name, coding in chosen.items()}
            return Best(latency_ms(chosen), texts, lost, len(everything), number, raw_ms)
    raise AssertionError("nothing encoded loses nothing")
