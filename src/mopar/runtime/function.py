"""A function's graphs, and runs of them on tensors that were read from a request."""

import ctypes
import mmap
from time import perf_counter_ns

from mopar.runtime.engine import STRING, OrtError, Tensor
from mopar.runtime.graphs import lacked_memory, load_graph
from mopar.runtime.request import RefusedError
from mopar.runtime.trim import trim_heap

TYPE_CHECKING = False  # typing costs memory
if TYPE_CHECKING:
    from mopar.runtime.config import Config
    from mopar.runtime.graphs import MakeEngine
    from mopar.runtime.interface import AnyBound, AnySession
    from mopar.runtime.lossless import Lossless
    from mopar.runtime.mapped import MappedFiles

_ALIGNMENT = 64
_SHRINK_FACTOR, _SHRINK_AFTER = 4, 32
"""Memory shrinks after ``_SHRINK_AFTER`` requests in a row that used less than 1/``_SHRINK_FACTOR`` of it."""
_BOOL = 9
_WRITABLE = 0x200

_view_of = ctypes.pythonapi.PyMemoryView_FromMemory
_view_of.restype = ctypes.py_object
_view_of.argtypes = (ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)


class Room:
    """Memory for the inputs of one request at a time, whose pages the next one uses again."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._most, self._spare = 0, 0

    def place(self, tensors: "list[Tensor]") -> "list[memoryview]":
        """Set each tensor's address, and return views to fill. Tensors of the last request become invalid."""
        sizes = [-(-tensor.nbytes // _ALIGNMENT) * _ALIGNMENT for tensor in tensors]
        self._reserve(sum(sizes))
        views, offset = [], 0
        whole = memoryview(self._memory)
        for tensor, size in zip(tensors, sizes, strict=True):
            tensor.address = self._address + offset
            views.append(whole[offset : offset + tensor.nbytes])
            offset += size
        return views

    def _reserve(self, needed: int) -> None:
        held = len(self._memory)
        self._most = max(self._most, needed)
        self._spare = self._spare + 1 if needed * _SHRINK_FACTOR < held > mmap.PAGESIZE else 0
        if needed > held or self._spare >= _SHRINK_AFTER:
            size = max(needed if needed > held else self._most, 1)
            self._memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
            self._spare = 0
        if self._spare == 0:
            self._most = 0


class Run:
    """A run that has ended: its outputs, in the engine's own memory until ``close``.

    Attributes:
        outputs: type, shape and size of the requested ones.
        data: their bytes.
        compute_ns: time inside the engine.
    """

    __slots__ = ("_bound", "compute_ns", "data", "outputs")

    def __init__(self, bound: "AnyBound", wanted: "list[int]", compute_ns: int) -> None:
        self._bound = bound
        self.compute_ns = compute_ns
        self.outputs = [bound.describe(index) for index in wanted]
        self.data = [self._bytes(index, tensor) for index, tensor in zip(wanted, self.outputs, strict=True)]

    def close(self) -> None:
        """Release the outputs."""
        self._bound.close()

    def _bytes(self, index: int, tensor: Tensor) -> "memoryview | bytes":
        if tensor.nbytes == 0:
            return b""
        if tensor.code != STRING:
            found: memoryview = _view_of(tensor.address, tensor.nbytes, _WRITABLE)
            return found
        packed = ctypes.create_string_buffer(tensor.nbytes)
        self._bound.copy(index, ctypes.addressof(packed))
        return packed.raw


class Function:
    """The graphs of a function by their names.

    Args:
        config: what it serves.
        make_engine: from the library's path and a number of threads.

    Attributes:
        config: the same.
        graphs: by their names.
        loaded: whether they can be run.
        lossless: decodes and encodes tensors; None before it is loaded, and where none is encoded.
    """

    def __init__(self, config: "Config", make_engine: "MakeEngine") -> None:
        self.config = config
        self.graphs = {graph.id: graph for graph in config.graphs}
        self.loaded = False
        self.lossless: Lossless | None = None
        self._make_engine = make_engine
        self._mapped: MappedFiles | None = None
        self._sessions: dict[str, AnySession] = {}

    def load(self) -> None:
        """Load all graphs, and what decodes their tensors. Raises OrtError, OSError."""
        if self.config.lossless:
            from mopar.runtime.lossless import Lossless  # other functions do without

            self.lossless = Lossless(self.config.lossless)
        engine = self._make_engine(self.config.library, self.config.threads)
        for graph in self.config.graphs:
            inputs, outputs = (tuple(port.name for port in side) for side in (graph.inputs, graph.outputs))
            self._sessions[graph.id] = load_graph(engine, graph.path, graph.flags, inputs, outputs)
            trim_heap()
            engine.mapped.loaded()
        self._mapped = engine.mapped
        self.loaded = True

    def called(self) -> None:
        """After the answer to a call: its libraries are looked after while nobody waits."""
        assert self._mapped is not None, "called before it was loaded"
        self._mapped.called()

    def run(self, graph: str, inputs: "list[tuple[int, Tensor]]", wanted: "list[int]") -> Run:
        """Run a graph.

        Args:
            graph: its name.
            inputs: index and tensor of each, in any order.
            wanted: indices of the outputs.

        Raises:
            RefusedError: the engine refuses the inputs (400), or lacks memory (500).
        """
        ordered = [tensor for _, tensor in sorted(inputs, key=_index)]
        for tensor in ordered:
            if tensor.code == _BOOL and ctypes.string_at(tensor.address, tensor.nbytes).strip(b"\0\1"):
                raise RefusedError(400, "the bytes of a BOOL are 0 and 1")
        bound = None
        try:
            bound = self._sessions[graph].bind(ordered, [None] * len(self.graphs[graph].outputs))
            started_ns = perf_counter_ns()
            bound.run()
            return Run(bound, wanted, perf_counter_ns() - started_ns)
        except OrtError as error:
            if bound is not None:
                bound.close()
            raise RefusedError(500 if lacked_memory(error) else 400, str(error)) from error


def _index(item: "tuple[int, Tensor]") -> int:
    return item[0]
