"""Codecs of graphs whose codes messages compress: what both together do for a tensor, measured on its values."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from mopar.codecs import Fitted, coder_models
from mopar.gateway.arrays import Array
from mopar.pipeline.codecs.engine import Session
from mopar.pipeline.codecs.messages import MessageCodecs
from mopar.types import TensorCoding, with_messages


def compressed(
    fitted: Fitted, plain: TensorCoding, samples: Sequence[Array], messages: MessageCodecs, texts: Collection[str]
) -> Iterator[TensorCoding]:
    """A codec of one code, with each of some codecs of messages; those that save next to nothing are left out.

    Args:
        fitted: what graphs do.
        plain: what that does for the tensor by itself.
        samples: of the tensor.
        messages: measures codecs of messages.
        texts: theirs.
    """
    encoder = Session(coder_models(fitted)[0])
    for one in messages.codings([encoder.through(value) for value in samples], texts):
        yield replace(
            plain,
            text=with_messages(plain.text, one.text),
            ratio=plain.ratio * one.ratio,
            encode_ms_per_mib=plain.encode_ms_per_mib + plain.ratio * one.encode_ms_per_mib,
            decode_ms_per_mib=plain.decode_ms_per_mib + plain.ratio * one.decode_ms_per_mib,
            most_ratio=plain.ratio * one.bound_ratio,
            library_mib=one.library_mib,
            graph_ratio=plain.ratio,
        )
