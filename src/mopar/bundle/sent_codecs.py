"""Which of a plan's codecs are of messages, and which of graphs.

Codecs of messages lose nothing, and change no graph; a store of objects changes nothing at all. Functions that share
memory pass such tensors as they are, and codes of graphs as graphs make them.
"""

from collections.abc import Mapping

from mopar.runtime.variants import VARIANTS
from mopar.types import OBJECT_STORE, Manifest, Plan, code_text, graph_text

Codes = Mapping[str, tuple[str, ...]]
"""Tensor that graphs encode -> the ends of its codes' names."""


def code_name(tensor: str, suffix: str) -> str:
    """Name of one of a tensor's codes."""
    return f"{tensor}/{suffix}"


def is_lossless(text: str) -> bool:
    """Whether a codec of a plan encodes messages, and is none of graphs."""
    return text in VARIANTS


def in_graphs(text: str) -> bool:
    """Whether a codec of a plan is nodes of graphs, and fitted; messages may compress its codes."""
    return text not in VARIANTS and text != OBJECT_STORE


def sent_codecs(plan: Plan, codes: Codes) -> Mapping[str, str]:
    """Name of a tensor, or of a code of one -> the text of the codec with which messages carry it."""
    sent = {tensor: text if is_lossless(text) else code_text(text) for tensor, text in plan.codecs.items()}
    return {name: text for tensor, text in sent.items() if text for name in _sent_names(tensor, codes)}


def code_ratios(plan: Plan, codes: Codes) -> Mapping[str, float]:
    """Such a name -> the most bytes with which messages carry it, per byte."""
    return {name: ratio for tensor, ratio in plan.code_ratios.items() for name in _sent_names(tensor, codes)}


def _sent_names(tensor: str, codes: Codes) -> tuple[str, ...]:
    """What is sent of a tensor: itself, or its codes."""
    return tuple(code_name(tensor, suffix) for suffix in codes[tensor]) if tensor in codes else (tensor,)


def functions_that_encode(manifest: Manifest) -> frozenset[str]:
    """The functions that read or make such tensors and codes: those that need the library."""
    codecs = sent_codecs(manifest.plan, manifest.codes)
    return frozenset(
        call.function
        for call in manifest.calls
        if codecs.keys() & {*call.outputs, *(source.tensor for item in call.inputs for source in item.sources)}
    )


def lossy_parameters(plan: Plan) -> Mapping[str, str | float]:
    """What a plan's lossy codecs lose, as the parameters of a model's metadata; empty where nothing is lost."""
    if plan.coding is None:
        return {}
    accuracy = plan.coding.accuracy
    texts = sorted({graph_text(text) for text in plan.codecs.values() if in_graphs(text)})
    budget = {} if accuracy.budget is None else {"accuracy_budget": accuracy.budget}
    return {
        "lossy_codecs": ",".join(texts),
        "accuracy_metric": accuracy.metric,
        "accuracy_points_lost": accuracy.measured,
        **budget,
    }
