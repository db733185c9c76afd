"""``mopar.load``: loads a model from a file or from PyTorch."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mopar.capture._export import Example, capture
from mopar.shapes import ShapeLike, parse_shapes
from mopar.types import StatedShape, UsageError

if TYPE_CHECKING:
    import torch

    from mopar.graph import Model

_KEPT: list[tempfile.TemporaryDirectory[str]] = []
"""Temporary folders of captured models: a model maps its weights from its file, so they are removed at exit only."""


def load(
    source: "str | os.PathLike[str] | torch.nn.Module | torch.export.ExportedProgram",
    example_inputs: Example | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    dynamic_shapes: Any = None,
    shapes: Mapping[str, ShapeLike] | None = None,
) -> "Model":
    """Load a model for profiling.

    Args:
        source: an ONNX file, a PyTorch module, or a ``torch.export`` program.
        example_inputs: for a module: arguments of its ``forward``, as a tuple or by name.
        path: where a module's ONNX file is written; default: a temporary file that is removed when the process ends.
        dynamic_shapes: for a module: as in ``torch.export.export``.
        shapes: the sizes of inputs that a service must answer, by input: a text in the form of ``--input``
            (``"1x1..512"``), or numbers. Dimensions of a module that have a range stay symbolic, unless
            ``dynamic_shapes`` is given.

    Raises:
        UsageError: the arguments contradict each other, or torch is missing.
        ModelError: the file cannot be read, or the module cannot be captured.
    """
    stated = parse_shapes(shapes)
    if dynamic_shapes is None and not isinstance(source, str | os.PathLike):
        dynamic_shapes = _symbols(stated)
    return replace(_loaded(source, example_inputs, path, dynamic_shapes), stated=stated)


def _symbols(stated: Mapping[str, StatedShape]) -> dict[str, dict[int, str]] | None:
    """A symbol for each dimension with a range; None where there are none."""
    found = {
        name: {axis: f"{name}_{axis}" for axis, bounds in enumerate(shape.bounds) if bounds is not None}
        for name, shape in stated.items()
    }
    return found if any(found.values()) else None


def _loaded(
    source: "str | os.PathLike[str] | torch.nn.Module | torch.export.ExportedProgram",
    example_inputs: Example | None,
    path: str | os.PathLike[str] | None,
    dynamic_shapes: Any,
) -> "Model":
    from mopar.graph import load_model

    if isinstance(source, str | os.PathLike):
        if example_inputs is not None or path is not None or dynamic_shapes is not None:
            raise UsageError(f"{os.fspath(source)}: a file takes no example inputs, path or dynamic shapes")
        return load_model(Path(source))
    if path is not None:
        return load_model(capture(source, example_inputs, Path(path), dynamic_shapes=dynamic_shapes))
    folder = tempfile.TemporaryDirectory(prefix="mopar-")
    _KEPT.append(folder)
    captured = Path(folder.name) / f"{type(source).__name__.lower()}.onnx"
    return load_model(capture(source, example_inputs, captured, dynamic_shapes=dynamic_shapes))
