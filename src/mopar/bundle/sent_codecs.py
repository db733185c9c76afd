"""Which of a plan's codecs are of messages, and which of graphs.

Codecs of messages lose nothing, and change no graph; a store of objects changes nothing at all. Functions that share
memory pass such tensors as they are.
"""

from collections.abc import Mapping

from mopar.runtime.variants import VARIANTS
from mopar.types import OBJECT_STORE, Manifest, Plan


def is_lossless(text: str) -> bool:
    """Whether a codec of a plan encodes messages, and is none of graphs."""
    return text in VARIANTS


def in_graphs(text: str) -> bool:
    """Whether a codec of a plan is nodes of graphs, and fitted."""
    return text not in VARIANTS and text != OBJECT_STORE


def sent_codecs(plan: Plan) -> Mapping[str, str]:
    """Tensor -> the text of the codec with which messages carry it."""
    return {tensor: text for tensor, text in plan.codecs.items() if is_lossless(text)}


def functions_that_encode(manifest: Manifest) -> frozenset[str]:
    """The functions that read or make such tensors: those that need the library."""
    codecs = sent_codecs(manifest.plan)
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
    texts = sorted({text for text in plan.codecs.values() if in_graphs(text)})
    budget = {} if accuracy.budget is None else {"accuracy_budget": accuracy.budget}
    return {
        "lossy_codecs": ",".join(texts),
        "accuracy_metric": accuracy.metric,
        "accuracy_points_lost": accuracy.measured,
        **budget,
    }
