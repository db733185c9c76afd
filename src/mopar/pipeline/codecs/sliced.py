"""A model run as a plan cuts it, in this process, with tensors encoded and decoded in between."""

from collections.abc import Mapping, Sequence

import numpy as np

from mopar.bundle.codes import of_share
from mopar.codecs import Fitted, pair_model
from mopar.gateway.arrays import Array
from mopar.graph import Layer, Model, extract
from mopar.pipeline.codecs.calibration import Request
from mopar.pipeline.codecs.engine import Session, session_of
from mopar.types import Plan, Share


class SlicedModel:
    """A model run slice by slice as a plan cuts it, with tensors encoded and decoded in between.

    Args:
        model: to run.
        layers: of the model.
    """

    def __init__(self, model: Model, layers: Sequence[Layer]) -> None:
        self._model, self._layers = model, layers
        self._slices: dict[tuple[int, int], Session] = {}

    def cut(self, plan: Plan) -> None:
        """Load the runs of layers of a plan, each whole; those that the plan before has too are kept."""
        spans = _spans(plan)
        kept = {span: self._slices[span] for span in spans if span in self._slices}
        self._slices = kept
        for span in spans:
            if span not in self._slices:
                self._slices[span] = session_of(extract(self._model, *span, self._layers))

    def answers(self, plan: Plan, codings: Mapping[str, Fitted], requests: Sequence[Request]) -> list[dict[str, Array]]:
        """What a plan answers, whose slices were loaded by ``cut``.

        Args:
            plan: of the model.
            codings: of the tensors that are sent encoded; others pass as they are.
            requests: to answer.
        """
        sent = {name: _Sent(plan, name, codings) for name in codings}
        return [self._answer(plan, sent, request) for request in requests]

    def _answer(self, plan: Plan, sent: Mapping[str, "_Sent"], request: Request) -> dict[str, Array]:
        read = dict(request)
        answer = {}
        outputs = dict(plan.outputs)
        for span in _spans(plan):
            made = self._slices[span].run(read)
            answer.update({name: value for name, value in made.items() if name in outputs})
            read.update({name: sent[name].read(value) if name in sent else value for name, value in made.items()})
        return {name: answer[name] if name in answer else request[name] for name in outputs}


class _Sent:
    """What readers of a tensor see of it, of which each of its producers encodes what it makes.

    Args:
        plan: that it passes between functions of.
        tensor: its name.
        codings: with that of the tensor.
    """

    def __init__(self, plan: Plan, tensor: str, codings: Mapping[str, Fitted]) -> None:
        shares = [
            share for graph in plan.graphs if graph.part for share in graph.part.outputs if share.tensor == tensor
        ]
        self._pairs = [
            (share, Session(pair_model(of_share(codings, share)), optimised=False))
            for share in shares or [Share(tensor)]
        ]

    def read(self, value: Array) -> Array:
        """Each share encoded and decoded, and joined."""
        return _joined([(share, pair.through(_cut(value, share))) for share, pair in self._pairs])


def _cut(value: Array, share: Share) -> Array:
    if share.axis is None:
        return value
    return np.ascontiguousarray(value[(slice(None),) * share.axis + (slice(share.start, share.stop),)])


def _joined(pieces: Sequence[tuple[Share, Array]]) -> Array:
    axis = pieces[0][0].axis
    return pieces[0][1] if axis is None else np.concatenate([piece for _, piece in pieces], axis)


def _spans(plan: Plan) -> list[tuple[int, int]]:
    """The runs of layers of a plan, in the order in which they are called; parts compute the same."""
    graphs = {graph.id: (graph.start, graph.stop) for graph in plan.graphs}
    return list(dict.fromkeys(graphs[call.graph] for call in plan.calls))
