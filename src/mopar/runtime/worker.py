"""The process that runs one function: it loads its graphs, then answers one call at a time.

It speaks frames over the inherited socket whose descriptor is its only argument, and ends when the
other side closes it: a gateway that dies takes its workers with it, and nothing else is left behind.
"""

import ctypes
import mmap
import os
import sys
from _socket import SCM_RIGHTS, SOL_SOCKET, socket  # the module of C: ``socket`` costs 1.1 MiB more
from time import perf_counter_ns

from mopar.runtime import frames, sequence
from mopar.runtime.engine import Engine, OrtError, Tensor
from mopar.runtime.frames import TensorRef
from mopar.runtime.trim import trim_memory

TYPE_CHECKING = False  # typing costs memory
if TYPE_CHECKING:
    from collections.abc import Callable

    from mopar.runtime.interface import AnyEngine, AnyResults, AnySession

    MakeEngine = Callable[[str, int], AnyEngine]

_ANCILLARY_BYTES = 64
_INT_BYTES = 4


class Worker:
    """The state of a function: engine, graphs, attached segments, and outputs not fetched yet.

    Args:
        make_engine: from the library's path and a number of threads.
    """

    def __init__(self, make_engine: "MakeEngine" = Engine) -> None:
        self._make_engine = make_engine
        self._engine: AnyEngine | None = None
        self._sessions: list[AnySession] = []
        self._segments: dict[int, tuple[mmap.mmap, int]] = {}
        self._results: AnyResults | None = None
        self._pending: list[int] = []
        self._parent = os.getppid()

    def answer(self, frame: memoryview, descriptors: list[int]) -> bytes | None:
        """What to reply to a frame; None where it asks for no reply.

        Raises:
            OrtError: the engine refused.
        """
        arrived_ns = perf_counter_ns()
        kind = frames.kind_of(frame)
        if kind == frames.RUN:
            return self._run(frame, arrived_ns)
        if kind == frames.RUN_SEQUENCE:
            return self._run_sequence(frame, arrived_ns)
        if kind == frames.FETCH:
            return self._fetch(frame, arrived_ns)
        if kind == frames.ATTACH:
            self._attach(frame, descriptors)
            return None
        if kind == frames.DETACH:
            self._segments.pop(frames.unpack_segment(frame)[0], None)
            return None
        if kind == frames.INIT:
            self._engine = self._make_engine(*frames.unpack_init(frame))
        elif kind == frames.LOAD:
            self._load(frame)
        else:
            raise OrtError(f"a worker does not take frames of kind {kind}")
        return frames.pack_ready()

    def _load(self, frame: memoryview) -> None:
        assert self._engine is not None, "LOAD before INIT"
        path, flags, inputs, outputs = frames.unpack_load(frame)
        session = self._engine.load(
            path,
            inputs,
            outputs,
            optimize=bool(flags & frames.OPTIMIZE),
            prepack=bool(flags & frames.PREPACK),
            arena=bool(flags & frames.ARENA),
            memory_pattern=bool(flags & frames.MEMORY_PATTERN),
        )
        self._sessions.append(session)
        trim_memory()

    def _attach(self, frame: memoryview, descriptors: list[int]) -> None:
        segment, size = frames.unpack_segment(frame)
        (descriptor,) = descriptors
        try:
            memory = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        self._segments[segment] = memory, ctypes.addressof(ctypes.c_char.from_buffer(memory))

    def _run(self, frame: memoryview, arrived_ns: int) -> bytes:
        self._forget()
        session, given, places, outputs = self._unpacked(frame)
        started_ns = perf_counter_ns()
        results = session.run(given, places)
        compute_ns = perf_counter_ns() - started_ns
        self._results = results
        self._pending = [i for i, place in enumerate(places) if place is None]
        made = [
            _described(results.describe(i)) if place is None else ref
            for i, (place, ref) in enumerate(zip(places, outputs, strict=True))
        ]
        if not self._pending:
            self._forget()
        return frames.pack_done(perf_counter_ns() - arrived_ns, compute_ns, made)

    def _unpacked(self, frame: memoryview) -> "tuple[AnySession, list[Tensor], list[Tensor | None], list[TensorRef]]":
        """Of a RUN: the session, its inputs, the places of its outputs, and these as they were given."""
        graph, inputs, outputs = frames.unpack_run(frame)
        given = [self._place(ref) for ref in inputs]
        places = [None if ref.segment == frames.NOWHERE else self._place(ref) for ref in outputs]
        return self._sessions[graph], given, places, outputs

    def _run_sequence(self, frame: memoryview, began_ns: int) -> bytes:
        self._forget()
        steps, segment, offset, deadline_ns = sequence.unpack_sequence(frame)
        flags = sequence.Flags(self._segments[segment][0], offset, deadline_ns, self._parent)
        times: list[tuple[int, int]] = []
        for step in steps:
            session, given, places, _ = self._unpacked(memoryview(step.frame))  # while others make what it reads
            ready_ns = perf_counter_ns()
            if not flags.wait(step.waits):
                return sequence.pack_sequence_done(sequence.STOPPED, times)
            started_ns = ended_ns = perf_counter_ns()
            # A worker that died had made some of it: others may be reading that, so it must not be written again.
            if not flags.is_raised(step.flag):
                try:
                    results = session.run(given, places)
                except OrtError as error:
                    flags.raise_flag(sequence.ABORT)
                    return sequence.pack_sequence_done(sequence.REFUSED, times, str(error))
                ended_ns = perf_counter_ns()
                flags.raise_flag(step.flag)
                results.close()
            now_ns = perf_counter_ns()
            times.append((now_ns - began_ns - (started_ns - ready_ns), ended_ns - started_ns))
            began_ns = now_ns
        return sequence.pack_sequence_done(sequence.ENDED, times)

    def _fetch(self, frame: memoryview, arrived_ns: int) -> bytes:
        places = frames.unpack_fetch(frame)
        if self._results is None:
            raise OrtError("nothing to fetch")
        for index, ref in zip(self._pending, places, strict=True):
            self._results.copy(index, self._place(ref).address)
        self._forget()
        return frames.pack_done(perf_counter_ns() - arrived_ns, 0, [])

    def _place(self, ref: TensorRef) -> Tensor:
        memory, address = self._segments[ref.segment]
        assert ref.offset + ref.nbytes <= len(memory), "a tensor reaches past its segment"
        return Tensor(ref.code, ref.shape, address + ref.offset, ref.nbytes)

    def _forget(self) -> None:
        if self._results is not None:
            self._results.close()
            self._results = None
        self._pending = []


def _described(tensor: Tensor) -> TensorRef:
    return TensorRef(tensor.code, tensor.shape, frames.NOWHERE, 0, tensor.nbytes)


def serve(connection: socket, make_engine: "MakeEngine" = Engine) -> None:
    """Answer frames until the other side closes."""
    worker = Worker(make_engine)
    buffer = bytearray(frames.MAX_FRAME)
    view = memoryview(buffer)
    while True:
        size, ancillary, _, _ = connection.recvmsg_into([buffer], _ANCILLARY_BYTES)
        if size == 0:
            return
        try:
            reply = worker.answer(view[:size], _descriptors(ancillary))
        except OrtError as error:
            reply = frames.pack_failed(str(error))
        if reply is not None and len(reply) > frames.MAX_FRAME:
            reply = frames.pack_failed(f"{len(reply)} bytes to say what the outputs are: too many outputs for a frame")
        if reply is not None:
            connection.send(reply)


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    numbers: list[int] = []
    for level, kind, data in ancillary:
        if level == SOL_SOCKET and kind == SCM_RIGHTS:
            # Not the module ``array``: it brings ``collections``, 0.4 MiB.
            numbers += memoryview(data)[: len(data) // _INT_BYTES * _INT_BYTES].cast("i")
    return numbers


def main(make_engine: "MakeEngine" = Engine) -> None:
    """Serve the socket whose descriptor is the first argument."""
    try:
        serve(socket(fileno=int(sys.argv[1])), make_engine)
    except (ConnectionError, BrokenPipeError, KeyboardInterrupt):
        # The gateway is gone: there is nobody to tell.
        os._exit(0)
    os._exit(0)
