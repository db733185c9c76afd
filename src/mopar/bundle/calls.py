"""The correspondence of a manifest's calls to its plan's: in a manifest each input is one contiguous range of bytes.

Tensors that are sent encoded are several there: their codes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mopar.bundle.form import Form, FormInput, FormSource
from mopar.bundle.sent_codecs import Codes, code_name, sent_codecs
from mopar.planning.model.shape import call_shares
from mopar.types import BundleError, Call, CallInput, Manifest, Plan, Share, Source


@dataclass(frozen=True, slots=True)
class Sending:
    """How a plan's tensors are sent.

    Attributes:
        codes: of those that graphs encode.
        compressed: those of names that messages carry encoded.
        shares: the share of each tensor that each call produces, by call and tensor.
    """

    codes: Codes
    compressed: frozenset[str]
    shares: Mapping[tuple[str, str], Share]

    @classmethod
    def of(cls, plan: Plan, codes: Codes) -> "Sending":
        """Of a plan whose tensors have these codes."""
        graphs = {graph.id: graph for graph in plan.graphs}
        return cls(codes, frozenset(sent_codecs(plan, codes)), call_shares(graphs, plan.calls))

    def in_place(self, source: Source) -> bool:
        """Whether a contiguous source is read as it is sent: of a code, no region is."""
        return source.tensor not in self.codes and (source.region is None or source.tensor not in self.compressed)


AS_THEY_ARE = Sending({}, frozenset(), {})
"""No tensor is encoded."""


def part_name(tensor: str, index: int) -> str:
    """Name of the graph input for source ``index`` of an input that is joined or sliced in the graph."""
    return f"{tensor}/part{index}"


def graph_name(function: str, graph: str, form: int | None) -> str:
    """Name of a function's file of a plan's graph; ``form`` numbers the variants that assemble inputs themselves."""
    return f"{function}-{graph}" + ("" if form is None else f"-form{form}")


def form_of(item: CallInput, sending: Sending = AS_THEY_ARE) -> FormInput:
    """An input without its producers, but with what they encode: calls of equal forms share a graph."""
    sources = []
    for source in item.sources:
        share = sending.shares.get((source.producer, source.tensor), Share(source.tensor))
        sources.append(FormSource(source.region, share if source.tensor in sending.codes else None))
    return FormInput(item.tensor, tuple(sources), item.combine, item.axis)


def assembled_inputs(item: CallInput, codes: Codes) -> tuple[CallInput, ...]:
    """The inputs of a graph that assembles an input itself: one for each source, or for each of its codes."""
    found = []
    for index, source in enumerate(item.sources):
        name = part_name(item.tensor, index)
        if source.tensor not in codes:
            found.append(CallInput(name, (Source(source.producer, source.tensor),)))
        for suffix in codes.get(source.tensor, ()):
            sent = Source(source.producer, code_name(source.tensor, suffix))
            found.append(CallInput(code_name(name, suffix), (sent,)))
    return tuple(found)


def output_names(plan: Plan) -> frozenset[str]:
    """Names of the model's own outputs, which are always given as they are."""
    return frozenset(tensor for tensor, _ in plan.outputs)


def sent_outputs(call: Call, codes: Codes, kept: frozenset[str]) -> tuple[str, ...]:
    """What a call's graph gives: codes in place of tensors, and those of the names ``kept`` as they are, too."""
    found: list[str] = []
    for name in call.outputs:
        if name not in codes or name in kept:
            found.append(name)
        found += [code_name(name, suffix) for suffix in codes.get(name, ())]
    return tuple(found)


def check_calls(manifest: Manifest) -> None:
    """Check that each call is the lowered form of the plan's call at its index, and runs the graph built for it.

    Two graphs of one function may have equal inputs and outputs, so which one a call runs must follow from the plan.

    Raises:
        BundleError: a call is not the plan's, or no call runs some graph or function.
    """
    names: dict[tuple[str, str, Form], str] = {}
    sending = Sending.of(manifest.plan, manifest.codes)
    for call, planned in zip(manifest.calls, manifest.plan.calls, strict=True):
        inputs, form = _lowered(call, planned, sending)
        outputs = sent_outputs(planned, manifest.codes, output_names(manifest.plan))
        if (call.function, call.inputs, call.outputs) != (planned.function, inputs, outputs):
            raise BundleError(f"call {call.id} is not the plan's")
        key = planned.function, planned.graph, form
        number = len(names) if form else None
        name = names.setdefault(key, graph_name(planned.function, planned.graph, number))
        if call.graph != name and (form or call.graph != planned.graph):
            raise BundleError(f"call {call.id} runs graph {call.graph}, not {name}")
    called = {call.graph for call in manifest.calls}
    for graph in manifest.graphs:
        if graph.id not in called:
            raise BundleError(f"graph {graph.id} is never called")
    for function in manifest.plan.functions:
        if all(call.function != function.name for call in manifest.calls):
            raise BundleError(f"function {function.name} is never called")


def _lowered(call: Call, planned: Call, sending: Sending) -> tuple[tuple[CallInput, ...], Form]:
    """The inputs of the planned call after lowering, and the form: inputs that the graph of ``call`` assembles."""
    inputs: list[CallInput] = []
    form: list[FormInput] = []
    for item in planned.inputs:
        if item in call.inputs:
            inputs.append(item)
            continue
        form.append(form_of(item, sending))
        inputs += assembled_inputs(item, sending.codes)
    return tuple(inputs), tuple(form)
