"""What plans lose, measured on requests held apart, slice by slice."""

from collections.abc import Mapping
from typing import NamedTuple

from mopar.codecs import Fitted
from mopar.graph import Model, extract, layers_of
from mopar.pipeline.codecs.accuracy import loss_of, relative_error
from mopar.pipeline.codecs.calibration import Calibration
from mopar.pipeline.codecs.engine import session_of
from mopar.pipeline.codecs.sliced import SlicedModel
from mopar.types import Plan

_TIE = 1e-3
"""What a relative error counts beside points lost: it orders tensors that lose the same by themselves."""


class Alone(NamedTuple):
    """What a plan loses where one tensor alone is encoded.

    Attributes:
        points: lost.
        error: of the answers, relative to them.
    """

    points: float
    error: float

    @property
    def order(self) -> float:
        """Points, and a little for what they do not show."""
        return self.points + _TIE * self.error


class Losses:
    """Measures plans of one model against its own answers.

    Args:
        model: that plans are of.
        calibration: whose requests held apart are answered.
        metric: of the loss; None for the one that suits the model's answers.

    Raises:
        EngineError, InputError: the model cannot be run on the requests.
    """

    def __init__(self, model: Model, calibration: Calibration, metric: str | None) -> None:
        layers = layers_of(model)
        self._held, self._metric = calibration.held_apart, metric
        self._sliced = SlicedModel(model, layers)
        whole = session_of(extract(model, 0, len(layers), layers))
        self._want = [whole.run(request) for request in self._held]
        self._alone: dict[tuple[object, ...], Alone] = {}
        self._whole: dict[object, tuple[str, float]] = {}

    def of(self, plan: Plan, fitted: Mapping[str, Fitted]) -> tuple[str, float]:
        """The metric, and the points that a plan loses with these codecs; measured once for the same cuts and codecs.

        Args:
            plan: of the model.
            fitted: codecs of its tensors; those of one text are fitted alike in all plans.
        """
        spans = tuple((graph.start, graph.stop) for graph in plan.graphs)
        key = (spans, frozenset((tensor, one.text) for tensor, one in fitted.items()))
        if key not in self._whole:
            self._sliced.cut(plan)
            self._whole[key] = loss_of(self._sliced.answers(plan, fitted, self._held), self._want, self._metric)
        return self._whole[key]

    def alone(self, plan: Plan, tensor: str, fitted: Fitted) -> Alone:
        """What a plan loses where this tensor alone is encoded."""
        crossed = [graph for graph in plan.graphs if tensor in {*graph.inputs, *graph.outputs}]
        key = (tensor, fitted.text, *((graph.start, graph.stop, graph.part) for graph in crossed))
        if key not in self._alone:
            self._sliced.cut(plan)
            got = self._sliced.answers(plan, {tensor: fitted}, self._held)
            _, lost = loss_of(got, self._want, self._metric)
            self._alone[key] = Alone(lost, relative_error(got, self._want))
        return self._alone[key]
