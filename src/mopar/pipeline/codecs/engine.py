"""Models run in this process: what calls get and give, without functions."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import onnx_ir as ir
import onnxruntime as ort

from mopar.engine.session import ENGINE_ERRORS, engine_reason
from mopar.files import temporary_folder
from mopar.gateway.arrays import Array
from mopar.graph import Layer, Model, extract, save_model
from mopar.nodes import name_of
from mopar.pipeline.codecs.calibration import Request
from mopar.types import EngineError, InputError

_QUIET = 4
SAMPLE_BYTES = 32 << 20
"""Of the values of one tensor that codecs are fitted to: more requests change little."""
_TOGETHER_BYTES = 8 * SAMPLE_BYTES
"""Of the values of all tensors that are held at a time."""


class Session:
    """A model that the engine runs on one thread.

    Raises:
        EngineError: it refuses the model.
    """

    def __init__(self, source: Path | bytes, *, optimised: bool = True) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = _QUIET
        if not optimised:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        model = source if isinstance(source, bytes) else str(source)
        try:
            self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except ENGINE_ERRORS as cause:
            raise EngineError(f"ONNX Runtime refuses a graph: {engine_reason(cause)}") from cause
        self._inputs = [item.name for item in self._session.get_inputs()]
        self._outputs = [item.name for item in self._session.get_outputs()]

    def run(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """Its outputs; values that it does not take are left out. Raises InputError where it refuses them."""
        try:
            found = self._session.run(None, {name: values[name] for name in self._inputs})
        except ENGINE_ERRORS as cause:
            raise InputError(f"the model refuses the calibration inputs: {engine_reason(cause)}") from cause
        return dict(zip(self._outputs, found, strict=True))

    def through(self, value: Array) -> Array:
        """The only output for the only input."""
        ((_, found),) = self.run({self._inputs[0]: value}).items()
        return found


def session_of(model: ir.Model) -> Session:
    """A session of a model, whatever its size."""
    with temporary_folder("mopar-codecs-") as folder:
        return Session(save_model(model, folder / "graph.onnx")[0])


def tensor_values(
    model: Model,
    layers: Sequence[Layer],
    sizes: Mapping[str, int],
    requests: Sequence[Request],
    most_bytes: int = SAMPLE_BYTES,
) -> Iterator[tuple[str, list[Array]]]:
    """The values of tensors in requests, tensor by tensor, few at a time.

    Args:
        model: they are of.
        layers: of the model.
        sizes: bytes of each tensor in one request.
        requests: to run.
        most_bytes: of the values of one tensor; those of further requests are left out.

    Raises:
        EngineError, InputError.
    """
    for names in _batches(sizes, len(requests), most_bytes):
        whole = extract(model, 0, len(layers), layers)
        given = {name_of(value): value for value in whole.graph.outputs}
        made = {output.name: output for node in whole.graph for output in node.outputs if output.name in names}
        whole.graph.outputs.extend(made[name] for name in names if name not in given)
        session = session_of(whole)
        found: dict[str, list[Array]] = {name: [] for name in names}
        for request in requests:
            short = [name for name, values in found.items() if sum(one.nbytes for one in values) < most_bytes]
            if not short:
                break
            answer = session.run(request)
            for name in short:
                found[name].append(answer[name])
        yield from found.items()


def _batches(sizes: Mapping[str, int], count: int, most_bytes: int) -> Iterator[list[str]]:
    batch: list[str] = []
    held = 0
    for name, size in sizes.items():
        kept = min(size * count, most_bytes + size)
        if batch and held + kept > _TOGETHER_BYTES:
            yield batch
            batch, held = [], 0
        batch.append(name)
        held += kept
    if batch:
        yield batch
