"""Bundles: a plan's graphs and weights as files with a manifest, and the definition of equal outputs.

Each name is imported when it is first used: building needs onnx and comparing needs numpy, neither of which serving a
bundle does (docs/decisions/gateway-memory.md).
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mopar.bundle.assemble import build as build
    from mopar.bundle.equality import Difference as Difference
    from mopar.bundle.equality import compare as compare
    from mopar.bundle.equality import compare_all as compare_all
    from mopar.bundle.folder import MANIFEST as MANIFEST
    from mopar.bundle.folder import file_entries as file_entries
    from mopar.bundle.open import open_bundle as open_bundle
    from mopar.bundle.opened import WORKER as WORKER
    from mopar.bundle.opened import Bundle as Bundle
    from mopar.bundle.opened import fits_machine as fits_machine
    from mopar.bundle.repack import prepare as prepare

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

_HOMES = {
    "MANIFEST": "folder",
    "WORKER": "opened",
    "Bundle": "opened",
    "Difference": "equality",
    "build": "assemble",
    "compare": "equality",
    "compare_all": "equality",
    "file_entries": "folder",
    "fits_machine": "opened",
    "open_bundle": "open",
    "prepare": "repack",
}
"""Name -> the module of this package that holds it."""


def __getattr__(name: str) -> object:
    """A public name, from its module. Raises AttributeError where there is none."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found
