"""The best codecs for given cuts, by trying all of them."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from zlib import crc32

from mopar.bundle.sent_codecs import in_graphs
from mopar.codecs import Fitted
from mopar.gateway.arrays import Array
from mopar.graph import Model, layers_of
from mopar.measurement.codec_costs import CodecCosts
from mopar.pipeline.codecs.calibration import Calibration
from mopar.pipeline.codecs.losses import Losses
from mopar.pipeline.codecs.messages import MessageCodecs
from mopar.pipeline.codecs.offers import Boundary
from mopar.pipeline.codecs.options import CodecOptions
from mopar.pipeline.stages import PlanOptions, book_of, limits_of, make_plan
from mopar.planning import evaluate, shape_of
from mopar.profiling import Progress
from mopar.runtime.lossless import Lossless
from mopar.runtime.variants import VARIANTS
from mopar.types import Profile, TensorCoding, graph_text


@dataclass(frozen=True, slots=True)
class Best:
    """The quickest plan that keeps a budget.

    Attributes:
        latency_ms: as predicted.
        codecs: of each tensor that is encoded.
        lost: points.
        assignments: how many there are; of those that are quicker than the best, all losses were measured.
        measured: how many losses were.
        raw_ms: as predicted with nothing encoded.
    """

    latency_ms: float
    codecs: Mapping[str, str]
    lost: float
    assignments: int
    measured: int
    raw_ms: float


class MeasuredOnce(MessageCodecs):
    """Measures each tensor once, so that the choice and the best of all count the same."""

    def __init__(self, library: Lossless) -> None:
        super().__init__(library)
        self._known: dict[object, list[TensorCoding]] = {}

    def codings(self, values: Sequence[Array], texts: Collection[str] = VARIANTS) -> Iterator[TensorCoding]:
        """The same again for the same values."""
        key = values[0].shape, crc32(values[0].tobytes()), tuple(texts)
        if key not in self._known:
            self._known[key] = list(super().codings(values, texts))
        yield from self._known[key]


_Choice = tuple[float, str, TensorCoding | None]
"""Milliseconds that a codec adds by itself, the tensor, and the codec."""


def best_of_all(
    model: Model,
    profile: Profile,
    options: PlanOptions,
    calibration: Calibration,
    codecs: CodecOptions,
    costs: CodecCosts,
    messages: MessageCodecs,
    *,
    most_alone: float = float("inf"),
    progress: Progress = lambda _stage, _share: None,
) -> Best:
    """Every codec, or none, on every tensor that crosses given cuts, from the quickest on until one keeps the budget.

    A codec that alone loses more than ``most_alone`` budgets is in none; by default all are tried. Each tensor's codec
    changes a chain's latency by the same whatever the others have, so where some codecs lose something, only the
    quickest of a tensor's others is tried. The assignment that is found is evaluated whole.
    """
    plan = make_plan(profile, options)
    limits = limits_of(options)
    book, shape = book_of(options, limits), shape_of(plan)
    boundary = Boundary(model, layers_of(model), profile, calibration.fitted)
    losses = Losses(model, calibration, codecs.metric)
    read = {name for graph in plan.graphs for name in graph.inputs}
    own: dict[str, list[_Choice]] = {name: [(0.0, name, None)] for name in {*read, *dict(plan.outputs)}}
    fitted: dict[str, dict[str, Fitted]] = {name: {} for name in own}

    def latency_ms(codings: Mapping[str, TensorCoding]) -> float:
        return evaluate(profile, book, limits, shape, codings).latency_ms

    raw_ms = latency_ms({})
    lossy = boundary.offers(costs, codecs.allows, messages) if codecs.loses else {}
    for name in read & lossy.keys():
        fit = boundary.fitting(name, progress)
        timed: dict[str, tuple[float, str, TensorCoding]] = {}
        for choice in sorted(((latency_ms({name: one}) - raw_ms, name, one) for one in lossy[name]), key=_added_ms):
            timed.setdefault(graph_text(choice[2].text), choice)
        for text, choice in timed.items():
            if losses.alone(plan, name, fit(text)).order <= most_alone * codecs.budget:
                fitted[name][choice[2].text] = fit(text)
                own[name].append(choice)
    lossless = boundary.message_offers(messages, codecs.allows)
    for name in own.keys() & lossless.keys():
        found = sorted(((latency_ms({name: one}) - raw_ms, name, one) for one in lossless[name]), key=_added_ms)
        own[name] += found[:1] if codecs.loses else found

    def lost(texts: Mapping[str, str]) -> float:
        return losses.of(plan, {name: fitted[name][text] for name, text in texts.items()})[1]

    everything = sorted(product(*own.values()), key=lambda parts: sum(map(_added_ms, parts)))
    chosen, points, measured = _first_kept(everything, lost, codecs.budget, progress)
    texts = {name: one.text for name, one in chosen.items()}
    return Best(latency_ms(chosen), texts, points, len(everything), measured, raw_ms)


def _first_kept(
    everything: Sequence[tuple[_Choice, ...]],
    lost: Callable[[Mapping[str, str]], float],
    budget: float,
    progress: Progress,
) -> tuple[dict[str, TensorCoding], float, int]:
    """The first assignment that keeps the budget, what it loses, and how many losses were measured."""
    known: dict[frozenset[tuple[str, str]], float] = {frozenset(): 0.0}
    for number, parts in enumerate(everything, 1):
        chosen = {name: one for _, name, one in parts if one is not None}
        texts = {name: one.text for name, one in chosen.items() if in_graphs(one.text)}
        key = frozenset(texts.items())
        if key not in known:
            known[key] = lost(texts)
        progress("trying all", number / len(everything))
        if known[key] <= budget:
            return chosen, known[key], len(known) - 1
    raise AssertionError("nothing encoded loses nothing")


def _added_ms(choice: _Choice) -> float:
    return choice[0]
