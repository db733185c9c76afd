"""Codecs: forms in which a tensor takes fewer bytes between functions.

Lossy ones are nodes of the slices' own graphs: the producer's graph ends with the encoder, and each consumer's begins
with the decoder, so that what runs in a function needs nothing for them. CONTRIBUTING.md says how to add one.
"""

from mopar.codecs.alone import coder_models, pair_model
from mopar.codecs.codec import Code, CompressedCodec, Fitted, GraphCodec, Samples, TrainedCodec, code_bytes
from mopar.codecs.registry import codec_names, codec_of, require_training

__all__ = [
    "Code",
    "CompressedCodec",
    "Fitted",
    "GraphCodec",
    "Samples",
    "TrainedCodec",
    "code_bytes",
    "codec_names",
    "codec_of",
    "coder_models",
    "pair_model",
    "require_training",
]
