"""Runs a graph through mopar's binding as a worker does: with memory of the caller."""

import ctypes
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from mopar.gateway.arrays import from_array, to_array
from mopar.runtime.engine import Bound, Engine, Session, Tensor
from mopar.types import TensorValue, dtype_of_code, dtype_of_name

Array = NDArray[np.generic]
Dims = Sequence[int | str | None] | None
Port = tuple[str, str, Dims]
"""A graph's input or output: name, element type, shape."""

_GUARD = b"\xa5" * 64


class Place:
    """Memory for one tensor, with a guard behind it."""

    def __init__(self, value: TensorValue) -> None:
        self.value = value
        self._nbytes = len(value.data)
        self._buffer = ctypes.create_string_buffer(bytes(value.data) + _GUARD, self._nbytes + len(_GUARD))

    def tensor(self) -> Tensor:
        code = dtype_of_name(self.value.dtype).code
        return Tensor(code, self.value.shape, ctypes.addressof(self._buffer), self._nbytes)

    def read(self) -> TensorValue:
        """The current tensor; fails where bytes beyond its own were written."""
        assert self._buffer.raw[self._nbytes :] == _GUARD, f"{self.value.name} was written past its end"
        return TensorValue(self.value.name, self.value.dtype, self.value.shape, self._buffer.raw[: self._nbytes])


def room(name: str, dtype: str, shape: tuple[int, ...]) -> Place:
    """An empty place."""
    count = int(np.prod(shape, dtype=int))
    return Place(TensorValue(name, dtype, shape, b"\xee" * dtype_of_name(dtype).nbytes(count)))


def answers(session: Session, inputs: Iterable[Array], places: Sequence[Place | None]) -> list[Array]:
    """Outputs in order: read from their places, or copied out after the run."""
    given = [Place(from_array("input", array)) for array in inputs]
    bound = session.bind(
        [place.tensor() for place in given], [None if place is None else place.tensor() for place in places]
    )
    try:
        bound.run()
        found = [_answer(bound, index, place) for index, place in enumerate(places)]
    finally:
        bound.close()
    for place in given:
        assert place.read().data == place.value.data, "an input was written to"
    return found


def _answer(bound: Bound, index: int, place: Place | None) -> Array:
    if place is None:
        made = bound.describe(index)
        place = Place(TensorValue("output", dtype_of_code(made.code).name, made.shape, b"\xee" * made.nbytes))
        bound.copy(index, place.tensor().address)
    return to_array(place.read())


def load(engine: Engine, path: Path, *, optimize: bool = True) -> Session:
    """The session of a file, with the file's own names."""
    graph = onnx.load(path, load_external_data=False).graph
    names = tuple(value.name for value in graph.input), tuple(value.name for value in graph.output)
    return engine.load(str(path), *names, optimize=optimize, prepack=True, arena=False, memory_pattern=False)


def save(path: Path, nodes: Sequence[onnx.NodeProto], inputs: Sequence[Port], outputs: Sequence[Port]) -> Path:
    """A model file of these nodes."""
    graph = helper.make_graph(list(nodes), "g", [_info(port) for port in inputs], [_info(port) for port in outputs])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return path


def _info(port: Port) -> onnx.ValueInfoProto:
    name, dtype, dims = port
    return helper.make_tensor_value_info(name, dtype_of_name(dtype).code, dims)
