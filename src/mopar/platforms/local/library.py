"""Finds ONNX Runtime's shared library without importing the package."""

import functools
import importlib.util
from pathlib import Path

from mopar.types import PlatformError


@functools.cache
def engine_library() -> Path:
    """Path of ``libonnxruntime`` in the installed onnxruntime package.

    Raises:
        PlatformError: onnxruntime is not installed, or its package has no such library.
    """
    found = importlib.util.find_spec("onnxruntime")
    if found is None or not found.submodule_search_locations:
        raise PlatformError("onnxruntime is not installed: pip install onnxruntime")
    folder = Path(next(iter(found.submodule_search_locations))) / "capi"
    libraries = sorted(folder.glob("libonnxruntime.so.*"))
    if not libraries:
        raise PlatformError(f"{folder}: no libonnxruntime.so.*: install the onnxruntime wheel for Linux from PyPI")
    return libraries[-1]
