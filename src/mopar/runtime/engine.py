"""Graphs loaded and run by ONNX Runtime on memory that the caller owns."""

import ctypes
import os
from ctypes import byref, c_char_p, c_int, c_int64, c_size_t, c_void_p

from mopar.runtime.capi import DEFAULT_MEMORY, DEVICE_ALLOCATOR, LOG_FATAL, Api, Handle, OrtError
from mopar.runtime.mapped import MappedFiles
from mopar.runtime.strings import pack_strings, unpack_strings
from mopar.runtime.threads import session_entries, shares_of_cores

STRING = 8
"""ONNX's number of the string type, whose elements are in ONNX Runtime's own memory."""

_BITS = {2: 8, 3: 8, 4: 16, 5: 16, 7: 64, 9: 8, 10: 16, 11: 64, 13: 64, 14: 64, 15: 128, 16: 16,
         17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4}  # fmt: skip
_BITS_DEFAULT = 32


class Tensor:
    """A tensor in memory: ONNX element type, dimensions, address and bytes."""

    __slots__ = ("address", "code", "nbytes", "shape")

    def __init__(self, code: int, shape: tuple[int, ...], address: int, nbytes: int) -> None:
        self.code = code
        self.shape = shape
        self.address = address
        self.nbytes = nbytes


class Engine:
    """ONNX Runtime with one environment.

    Where several threads compute an operator, each gets cores of its own; the first of them is the calling thread.

    Args:
        library: path of ``libonnxruntime``.
        threads: of an operator; one per whole CPU that the function has.

    Raises:
        OrtError: the library cannot be loaded.
    """

    def __init__(self, library: str, threads: int) -> None:
        self.api = Api(library)
        self.mapped = MappedFiles()
        self.threads = threads
        self._shares = shares_of_cores(os.sched_getaffinity(0), threads)
        if self._shares:
            os.sched_setaffinity(0, self._shares[0])
        self.env = Handle()
        # Errors are returned as a status and passed to the caller; a log would only repeat them.
        self.api.function("CreateEnv")(LOG_FATAL, b"mopar", byref(self.env))
        self.memory = Handle()
        self.api.function("CreateCpuMemoryInfo")(DEVICE_ALLOCATOR, DEFAULT_MEMORY, byref(self.memory))
        self.allocator = Handle()
        self.api.function("GetAllocatorWithDefaultOptions")(byref(self.allocator))

    def load(
        self,
        path: str,
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        *,
        optimize: bool,
        prepack: bool,
        arena: bool,
        memory_pattern: bool,
    ) -> "Session":
        """A session of the graph in ``path``. Raises OrtError."""
        options = Handle()
        self.api.function("CreateSessionOptions")(byref(options))
        try:
            self._configure(options, optimize, prepack, arena, memory_pattern)
            session = Handle()
            self.api.function("CreateSession")(self.env, os.fsencode(path), options, byref(session))
        finally:
            self.api.release("ReleaseSessionOptions")(options)
        return Session(self, session, inputs, outputs)

    def _configure(self, options: Handle, optimize: bool, prepack: bool, arena: bool, memory_pattern: bool) -> None:
        function = self.api.function
        function("SetIntraOpNumThreads")(options, self.threads)
        function("SetInterOpNumThreads")(options, 1)
        function("SetSessionGraphOptimizationLevel")(options, 99 if optimize else 0)
        if not arena:
            function("DisableCpuMemArena")(options)
        if not memory_pattern:
            function("DisableMemPattern")(options)
        entry = function("AddSessionConfigEntry")
        for name, value in session_entries(self._shares).items():
            entry(options, name.encode(), value.encode())
        if not prepack:
            entry(options, b"session.disable_prepacking", b"1")


class Session:
    """A loaded graph: runs on memory that is bound to it, without copies where shapes are known beforehand."""

    def __init__(self, engine: Engine, handle: Handle, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        self.engine = engine
        self._handle = handle
        api = engine.api
        self._run = api.function("Run")
        self._wrap = api.function("CreateTensorWithDataAsOrtValue")
        self._input_names = (c_char_p * len(inputs))(*[name.encode() for name in inputs])
        self._output_names = (c_char_p * len(outputs))(*[name.encode() for name in outputs])

    def bind(self, inputs: list[Tensor], outputs: list[Tensor | None]) -> "Bound":
        """The graph on these tensors, to be closed by the caller.

        Args:
            inputs: in the order of the session's names.
            outputs: where each output goes; None for one whose size is not known.

        Raises:
            OrtError: an input or output is no tensor of its type.
        """
        bound = Bound(self, len(inputs), len(outputs))
        try:
            for i, tensor in enumerate(inputs):
                bound.inputs[i] = self._value(tensor)
            for i, place in enumerate(outputs):
                bound.outputs[i] = self._value(place) if place is not None else None
        except OrtError:
            bound.close()
            raise
        bound.pending = [i for i, place in enumerate(outputs) if place is None]
        bound.lasting = not bound.pending and all(tensor.code != STRING for tensor in inputs)
        return bound

    def run(self, bound: "Bound") -> None:
        """Run once. Raises OrtError where a kernel fails, or a shape or type does not fit."""
        inputs, outputs = bound.inputs, bound.outputs
        self._run(self._handle, None, self._input_names, inputs, len(inputs), self._output_names, len(outputs), outputs)

    def close(self) -> None:
        """Release the graph."""
        self.engine.api.release("ReleaseSession")(self._handle)

    def _value(self, tensor: Tensor) -> int:
        rank = len(tensor.shape)
        shape = (c_int64 * rank)(*tensor.shape)
        value = Handle()
        if tensor.code == STRING:
            self._string_value(tensor, shape, rank, value)
        else:
            self._wrap(self.engine.memory, tensor.address, tensor.nbytes, shape, rank, tensor.code, byref(value))
        assert value.value is not None
        return value.value

    def _string_value(self, tensor: Tensor, shape: "ctypes.Array[c_int64]", rank: int, value: Handle) -> None:
        try:
            texts = unpack_strings(ctypes.string_at(tensor.address, tensor.nbytes))
        except ValueError as cause:
            raise OrtError(f"not a packed string tensor: {cause}") from cause
        if len(texts) != element_count(tensor.shape):
            raise OrtError(f"{len(texts)} strings are given where the shape {list(tensor.shape)} needs another number")
        function = self.engine.api.function
        function("CreateTensorAsOrtValue")(self.engine.allocator, shape, rank, STRING, byref(value))
        resize = function("GetResizedStringTensorElementBuffer")
        for i, text in enumerate(texts):
            buffer = c_void_p()
            resize(value, i, len(text), byref(buffer))
            if text:
                assert buffer.value is not None
                ctypes.memmove(buffer.value, text, len(text))


class Bound:
    """A graph's inputs and outputs in memory.

    Attributes:
        inputs, outputs: values of ONNX Runtime; of an output without a place, there is one after the run.
        pending: outputs without a place.
        lasting: whether the run can be repeated: no output is pending, and no input was copied.
    """

    def __init__(self, session: Session, n_inputs: int, n_outputs: int) -> None:
        self._session = session
        self._engine = session.engine
        self.inputs = (c_void_p * n_inputs)()
        self.outputs = (c_void_p * n_outputs)()
        self.pending: list[int] = []
        self.lasting = False

    def run(self) -> None:
        """Run once. Raises OrtError where a kernel fails, or a shape or type does not fit."""
        self._session.run(self)

    def describe(self, index: int) -> Tensor:
        """Type, shape, address and size of an output; a string tensor's size is that of its packed form.

        Raises:
            OrtError: the output is no tensor.
        """
        value = c_void_p(self.outputs[index])
        function = self._engine.api.function
        is_tensor = c_int()
        function("IsTensor")(value, byref(is_tensor))
        if not is_tensor.value:
            raise OrtError(f"output {index} is a sequence, map or optional: only tensors can leave a function")
        info = Handle()
        function("GetTensorTypeAndShape")(value, byref(info))
        try:
            code, rank = c_int(), c_size_t()
            function("GetTensorElementType")(info, byref(code))
            function("GetDimensionsCount")(info, byref(rank))
            dims = (c_int64 * rank.value)()
            function("GetDimensions")(info, dims, rank.value)
        finally:
            self._engine.api.release("ReleaseTensorTypeAndShapeInfo")(info)
        shape = tuple(dims)
        if code.value == STRING:
            count = element_count(shape)
            length = c_size_t()
            function("GetStringTensorDataLength")(value, byref(length))
            return Tensor(STRING, shape, 0, length.value + 4 * count)
        address = c_void_p()
        function("GetTensorMutableData")(value, byref(address))
        return Tensor(code.value, shape, address.value or 0, packed_bytes(code.value, shape))

    def copy(self, index: int, address: int) -> None:
        """Copy an output to ``address``, where there is room for the size that ``describe`` gave."""
        tensor = self.describe(index)
        if tensor.code == STRING:
            packed = self._packed_strings(index, tensor)
            ctypes.memmove(address, packed, len(packed))
        elif tensor.nbytes:
            ctypes.memmove(address, tensor.address, tensor.nbytes)

    def _packed_strings(self, index: int, tensor: Tensor) -> bytes:
        count = element_count(tensor.shape)
        length = tensor.nbytes - 4 * count
        buffer = ctypes.create_string_buffer(max(length, 1))
        offsets = (c_size_t * count)()
        value = c_void_p(self.outputs[index])
        self._engine.api.function("GetStringTensorContent")(value, buffer, length, offsets, count)
        text = buffer.raw
        ends = [*offsets[1:], length] if count else []
        return pack_strings([text[start:end] for start, end in zip(offsets, ends, strict=True)])

    def close(self) -> None:
        """Release the values, and with them outputs that have no place."""
        release = self._engine.api.release("ReleaseValue")
        for values in (self.inputs, self.outputs):
            for i, value in enumerate(values):
                if value:
                    release(c_void_p(value))
                    values[i] = None


def element_count(shape: tuple[int, ...]) -> int:
    """How many elements a tensor of this shape holds (1 for a scalar)."""
    count = 1
    for dim in shape:
        count *= dim
    return count


def packed_bytes(code: int, shape: tuple[int, ...]) -> int:
    """Bytes of a tensor of this element type and shape; sub-byte elements share bytes. Not for strings."""
    return (element_count(shape) * _BITS.get(code, _BITS_DEFAULT) + 7) // 8


__all__ = ["STRING", "Bound", "Engine", "OrtError", "Session", "Tensor", "element_count", "packed_bytes"]
