"""Bundles: a plan's graphs and weights as files with a manifest, and the definition of equal outputs.

``build`` is imported when it is first used: building needs onnx, which serving a bundle does not, and which would
cost the gateway 70 MiB.
"""

from typing import TYPE_CHECKING

from mopar.bundle.equality import Difference, compare, compare_all
from mopar.bundle.folder import MANIFEST, file_entries
from mopar.bundle.open import WORKER, Bundle, fits_machine, open_bundle
from mopar.bundle.prepare import prepare

if TYPE_CHECKING:
    from mopar.bundle.assemble import build as build

__all__ = [
    "MANIFEST",
    "WORKER",
    "Bundle",
    "Difference",
    "build",
    "compare",
    "compare_all",
    "file_entries",
    "fits_machine",
    "open_bundle",
    "prepare",
]


def __getattr__(name: str) -> object:
    """``build``, from its module. Raises AttributeError for any other name."""
    if name != "build":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mopar.bundle.assemble import build

    return build
