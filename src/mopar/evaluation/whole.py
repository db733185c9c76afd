"""The whole model's answers: the oracle that everything is held against."""

from collections.abc import Mapping
from pathlib import Path

import onnxruntime

from mopar.gateway.arrays import Array
from mopar.graph.engine import ENGINE_ERRORS
from mopar.types import InputError, ModelError


class WholeModel:
    """The user's file as it is, run in this process on one thread with ONNX Runtime's default options.

    Raises:
        ModelError: ONNX Runtime refuses it.
    """

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except ENGINE_ERRORS as cause:
            raise ModelError(f"{path}: ONNX Runtime cannot load it: {_one_line(cause)}") from cause
        self._names = [output.name for output in self._session.get_outputs()]

    def answer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs. Raises InputError where the model refuses the inputs."""
        try:
            return dict(zip(self._names, self._session.run(None, dict(inputs)), strict=True))
        except ENGINE_ERRORS as cause:
            raise InputError(f"the model refuses these inputs: {_one_line(cause)}") from cause


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
