"""A plan's calls, run one after the other in this process from unpacked graphs."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import onnx_ir as ir
import onnxruntime as ort

from mopar.bundle.assemble import encoders, graph_model
from mopar.bundle.calls import Sending, sent_outputs
from mopar.bundle.codes import Codings, code_suffixes, encode_outputs
from mopar.bundle.lowering import LoweredCall, lower_call
from mopar.bundle.shard import shared_specs
from mopar.graph import Model, boundary, layers_of
from mopar.planning import check_plan
from mopar.types import REQUEST, Call, CallInput, Graph, Plan, TensorSpec
from tests.models.drawn.drawing import Array

_Key = tuple[object, ...]


class Composer:
    """Runs plans of one model; graphs that several plans share are loaded once."""

    def __init__(self, model: Model) -> None:
        self._model, self._layers = model, layers_of(model)
        self._sessions: dict[_Key, ort.InferenceSession] = {}
        self._entering: dict[tuple[int, int], tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]] = {}

    def prepare(self, plan: Plan, codings: Codings = MappingProxyType({})) -> "Composition":
        """Build a plan's graphs; with ``codings``, they encode and decode tensors.

        Raises:
            MoparError: the plan, or one of its graphs, is refused.
        """
        check_plan(plan, len(self._layers))
        graphs = {graph.id: graph for graph in plan.graphs}
        if codings:
            self._sessions.clear()  # other plans' have other codecs
        sending = Sending.of(plan, code_suffixes(codings))
        calls = [self._prepared(graphs[call.graph], call, sending, codings) for call in plan.calls]
        return Composition(plan, calls)

    def _prepared(
        self, graph: Graph, call: Call, sending: Sending, codings: Codings
    ) -> tuple[LoweredCall, ort.InferenceSession]:
        run = graph.start, graph.stop
        if run not in self._entering:
            self._entering[run] = boundary(self._model, self._layers, graph.start, graph.stop)
        inputs, leaving = self._entering[run]
        specs = shared_specs(inputs, graph.part.inputs) if graph.part else inputs
        lowered = lower_call(call, {spec.name: spec for spec in specs}, sending)
        key = run, graph.part, lowered.form
        if key not in self._sessions:
            made = graph_model(self._model, self._layers, graph, lowered, codings)
            given = [spec for spec in leaving if spec.name in call.outputs]
            encode_outputs(made, given, encoders(graph, codings), frozenset())
            self._sessions[key] = _session(ir.to_proto(made).SerializeToString())
        sent = sent_outputs(call, sending.codes, frozenset())
        return replace(lowered, call=replace(lowered.call, outputs=sent)), self._sessions[key]


class Composition:
    """A plan that is ready to run."""

    def __init__(self, plan: Plan, calls: list[tuple[LoweredCall, ort.InferenceSession]]) -> None:
        self._plan, self._calls = plan, calls

    def run(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs of one request."""
        made = {(REQUEST, name): value for name, value in values.items()}
        for lowered, session in self._calls:
            call = lowered.call
            feeds = {item.tensor: _taken(item, made) for item in call.inputs}
            found = session.run(list(call.outputs), feeds)
            made.update({(call.id, name): value for name, value in zip(call.outputs, found, strict=True)})
        return {name: made[producer, name] for name, producer in self._plan.outputs}


def whole(data: bytes, values: Mapping[str, Array]) -> dict[str, Array]:
    """Outputs of a whole model file."""
    session = _session(data)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(values)), strict=True))


def _taken(item: CallInput, made: Mapping[tuple[str, str], Array]) -> Array:
    (source,) = item.sources
    value, region = made[source.producer, source.tensor], source.region
    if region is None:
        return value
    return value[(slice(None),) * region.axis + (slice(region.start, region.stop),)]


def _session(data: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
