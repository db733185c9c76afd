"""The reference model: the oracle that every answer is held against."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import onnxruntime

from mopar.engine.session import ENGINE_ERRORS, engine_reason
from mopar.gateway.arrays import Array
from mopar.types import InputError, ModelError


class ReferenceModel:
    """The user's file as it is, run in this process on one thread with ONNX Runtime's default options.

    Raises:
        ModelError: there is no such file, or ONNX Runtime refuses it.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise ModelError(f"{path}: {'a folder' if path.is_dir() else 'no such file'}; name the model's ONNX file")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except ENGINE_ERRORS as cause:
            raise ModelError(f"{path}: ONNX Runtime cannot load it: {engine_reason(cause)}") from cause
        self._path = path
        self._inputs = [item.name for item in self._session.get_inputs()]
        self._outputs = [output.name for output in self._session.get_outputs()]

    def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs. Raises InputError where the model has other inputs, or refuses the values."""
        if set(inputs) != set(self._inputs):
            raise InputError(f"{self._path}: it takes {_listed(self._inputs)}, and is given {_listed(inputs)}")
        try:
            return dict(zip(self._outputs, self._session.run(None, dict(inputs)), strict=True))
        except ENGINE_ERRORS as cause:
            raise InputError(f"{self._path}: it refuses these inputs: {engine_reason(cause)}") from cause


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "nothing"
