"""The side file that remembers where a captured model came from."""

from dataclasses import dataclass
from pathlib import Path

from mopar.files import read_json
from mopar.types import ModelError

SOURCE_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class CaptureSource:
    """Where an ONNX file came from.

    Attributes:
        spec: ``MODULE:CALLABLE``.
        inputs: the ``--input`` arguments, as they were given.
        seed: of the weights that the callable drew and of the sample inputs.
        torch: the version that captured it.
        mopar: the same.
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
    """Where a model came from; None where it has no side file. Raises ModelError where that is malformed."""
    path = source_path(model)
    return read_json(path, CaptureSource, error=ModelError) if path.exists() else None
