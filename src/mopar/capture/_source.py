"""The side file that records the origin of a captured model."""

from dataclasses import dataclass
from pathlib import Path

from mopar.files import read_json
from mopar.types import ModelError

SOURCE_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class CaptureSource:
    """Origin of a captured ONNX file.

    Attributes:
        spec: ``MODULE:CALLABLE``.
        inputs: the ``--input`` arguments, as they were given.
        seed: seed of the callable's random weights and of the sample inputs.
        torch: version of torch that captured it.
        mopar: version of mopar that captured it.
    """

    spec: str
    inputs: tuple[str, ...]
    seed: int
    torch: str
    mopar: str
    schema: int = SOURCE_SCHEMA


def source_path(model: Path) -> Path:
    """The side file of a model file: ``MODEL.onnx.source.json``."""
    return model.with_name(f"{model.name}.source.json")


def read_source(model: Path) -> CaptureSource | None:
    """Read the origin of a model; None where it has no side file. Raises ModelError where the file is malformed."""
    path = source_path(model)
    return read_json(path, CaptureSource, error=ModelError) if path.exists() else None
