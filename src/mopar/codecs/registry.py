"""The codecs of graphs, by name.

Installed packages add more by entry points: in the group ``mopar.codecs``, a name and an object that implements
``mopar.codecs.GraphCodec`` and has that name. A package's codec is imported only when it is named.
"""

import functools
from importlib.metadata import EntryPoint, entry_points

from mopar.codecs.autoencoder import AUTOENCODER
from mopar.codecs.casts import BF16, FP16
from mopar.codecs.codec import GraphCodec, TrainedCodec
from mopar.codecs.int4 import INT4
from mopar.codecs.int8 import INT8, INT8_STATIC
from mopar.codecs.linear import LINEAR
from mopar.codecs.uniform import UNIFORM
from mopar.runtime.variants import VARIANTS
from mopar.types import OBJECT_STORE, UsageError, code_text, graph_text

_GROUP = "mopar.codecs"
_CODECS = (FP16, BF16, INT8, INT8_STATIC, INT4, UNIFORM, LINEAR, AUTOENCODER)
_OWN: dict[str, GraphCodec] = {codec.name: codec for codec in _CODECS}
_TAKEN = frozenset({"all", "blosc2", "none", OBJECT_STORE})
"""By what is no codec of graphs."""


def codec_names() -> tuple[str, ...]:
    """The names of all codecs."""
    return (*_OWN, *(name for name in _plugins() if name not in _OWN and name not in _TAKEN))


def codec_of(text: str) -> GraphCodec:
    """The codec that a text such as ``linear:64`` names, whatever compresses its codes.

    Raises:
        UsageError: there is none, or a package's cannot be loaded.
    """
    name, _, parameter = graph_text(text).partition(":")
    own = name in _OWN
    if not (own or name in _plugins()) or (parameter and not (parameter.isascii() and parameter.isdecimal())):
        raise UsageError(f"codec {text!r}: choose from {', '.join(codec_names())}")
    if text != graph_text(text) and code_text(text) not in VARIANTS:
        raise UsageError(f"codec {text!r}: choose what compresses its codes from {', '.join(VARIANTS)}")
    if name in _plugins() and (own or name in _TAKEN):
        raise UsageError(f"codec {name!r}: {_plugins()[name].value} brings one of a name that is taken")
    return _OWN[name] if own else _loaded(name)


def require_training() -> None:
    """Raises UsageError where a package that codecs are trained with is missing."""
    for name in codec_names():
        codec = codec_of(name)
        if isinstance(codec, TrainedCodec):
            codec.require()


@functools.cache
def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=_GROUP)}


@functools.cache
def _loaded(name: str) -> GraphCodec:
    point = _plugins()[name]
    try:
        found: GraphCodec = point.load()
    except (ImportError, AttributeError) as cause:
        raise UsageError(f"codec {name!r}: {point.value} cannot be loaded: {cause}") from cause
    if getattr(found, "name", None) != name:
        raise UsageError(f"codec {name!r}: {point.value} is no codec of that name")
    return found
