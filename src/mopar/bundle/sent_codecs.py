"""Tensors that messages carry encoded without loss, as a plan says: no graph changes, so bundles are the same.

Functions that share memory pass such tensors as they are.
"""

from collections.abc import Mapping

from mopar.runtime.variants import VARIANTS
from mopar.types import Manifest, Plan


def is_lossless(text: str) -> bool:
    """Whether a codec of a plan encodes messages, and is none of graphs."""
    return text in VARIANTS


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
