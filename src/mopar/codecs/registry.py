"""The codecs by name.

Installed packages add more by entry points: in the group ``mopar.codecs``, a name and an object that implements
``mopar.codecs.GraphCodec``.
"""

import functools
from importlib.metadata import entry_points

from mopar.codecs.autoencoder import AUTOENCODER
from mopar.codecs.casts import BF16, FP16
from mopar.codecs.codec import GraphCodec, TrainedCodec
from mopar.codecs.int4 import INT4
from mopar.codecs.int8 import INT8, INT8_STATIC
from mopar.codecs.linear import LINEAR
from mopar.types import UsageError

_GROUP = "mopar.codecs"
_OWN: tuple[GraphCodec, ...] = (FP16, BF16, INT8, INT8_STATIC, INT4, LINEAR, AUTOENCODER)


def codec_names() -> tuple[str, ...]:
    """The names of all codecs."""
    return tuple(_codecs())


def codec_of(text: str) -> GraphCodec:
    """The codec that a text such as ``linear:64`` names. Raises UsageError: there is none."""
    name, _, parameter = text.partition(":")
    found = _codecs().get(name)
    if found is None or (parameter and not (parameter.isascii() and parameter.isdecimal())):
        raise UsageError(f"codec {text!r}: choose from {', '.join(codec_names())}")
    return found


def require_training() -> None:
    """Raises UsageError where a package that codecs are trained with is missing."""
    for codec in _codecs().values():
        if isinstance(codec, TrainedCodec):
            codec.require()


@functools.cache
def _codecs() -> dict[str, GraphCodec]:
    found = {codec.name: codec for codec in _OWN}
    for point in entry_points(group=_GROUP):
        if point.name in found:
            raise UsageError(f"codec {point.name!r}: {point.value} brings one of a name that is taken")
        try:
            found[point.name] = point.load()
        except (ImportError, AttributeError) as cause:
            raise UsageError(f"codec {point.name!r}: {point.value} cannot be loaded: {cause}") from cause
    return found
