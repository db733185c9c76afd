"""Outputs of a model, and the distance between outputs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray


def answers(model: Path | bytes, inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[Any]]:
    """The engine's outputs, of a file or of a model in memory."""
    session = ort.InferenceSession(
        model if isinstance(model, bytes) else str(model), providers=["CPUExecutionProvider"]
    )
    result: list[NDArray[Any]] = session.run(None, dict(inputs))
    return result


def change(one: list[NDArray[Any]], other: list[NDArray[Any]]) -> float:
    """The largest relative difference of any float output; 1 where sizes differ."""
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if a.dtype.kind == "f"]
    if any(a.shape != b.shape for a, b in pairs):
        return 1.0
    return max(float(np.max(np.abs(a - b)) / np.max(np.abs(a))) for a, b in pairs)
