"""The process that runs one function: it loads its graphs, then answers one call at a time.

It receives frames on the inherited socket whose descriptor is its only argument, and ends when the other side closes
it, so that no worker outlives its gateway. ``mopar.runtime.listening`` serves gateways that come and go.
"""

import ctypes
import mmap
import os
import sys
from _socket import MSG_DONTWAIT, MSG_PEEK, SCM_RIGHTS, SOL_SOCKET, socket  # the C module: ``socket`` needs more memory
from time import perf_counter_ns

from mopar.runtime import frames, sequence
from mopar.runtime.engine import Engine, OrtError, Tensor
from mopar.runtime.frames import TensorRef
from mopar.runtime.graphs import lacked_memory, load_graph
from mopar.runtime.privileges import give_up_privileges
from mopar.runtime.trim import trim_heap

TYPE_CHECKING = False  # typing costs memory
if TYPE_CHECKING:
    from mopar.runtime.config import Config
    from mopar.runtime.graphs import MakeEngine
    from mopar.runtime.interface import AnyBound, AnyEngine, AnySession

_MOST_KEPT = 32
"""Runs that stay bound, at some 100 bytes per tensor; a gateway uses one set of places for each request in flight."""
_ANCILLARY_BYTES = 64
_INT_BYTES = 4


class RefusedError(OrtError):
    """The engine refused to run a graph on these inputs: an error of the request, not of the function."""


class Worker:
    """The state of a function: engine, graphs, attached segments, bound tensors, and outputs not fetched yet.

    A gateway gives requests of the same shapes the same places, so frames repeat, and tensors bound for one are kept
    for the next. Binding takes some us per tensor, which is as long as a small graph runs.

    Args:
        make_engine: from the library's path and a number of threads.

    Attributes:
        connection: to the gateway, while there is one.
        busy: whether a frame is being answered.
        stopping: whether to end after that.
    """

    def __init__(self, make_engine: "MakeEngine" = Engine) -> None:
        self.connection: socket | None = None
        self.busy = self.stopping = False
        self._make_engine = make_engine
        self._engine: AnyEngine | None = None
        self._sessions: list[AnySession] = []
        self._segments: dict[int, tuple[mmap.mmap, int]] = {}
        self._kept: dict[bytes, AnyBound] = {}
        self._passing: AnyBound | None = None
        self._foreseen: dict[int, TensorRef] = {}
        self._peers: dict[int, int] = {}
        self._ran = False

    def answer(self, frame: memoryview, descriptors: list[int]) -> bytes | None:
        """The reply to a frame; None for frames that have none.

        Raises:
            RefusedError: the engine refused the inputs of a run.
            OrtError: it refused anything else, or the frame is invalid.
        """
        arrived_ns = perf_counter_ns()
        kind = frames.kind_of(frame)
        self._ran = kind in {frames.RUN, frames.CHAIN, frames.RUN_SEQUENCE}
        if kind in {frames.RUN, frames.CHAIN}:
            return self._run(frame, arrived_ns)
        if kind == frames.RUN_SEQUENCE:
            return self._run_sequence(frame, arrived_ns)
        if kind == frames.FETCH:
            return self._fetch(frame, arrived_ns)
        if kind in {frames.ATTACH, frames.DETACH, frames.PEER}:
            self._learn(kind, frame, descriptors)
            return None
        if kind == frames.PING:
            return frames.pack_number(frames.PONG, frames.number_of(frame))
        if kind == frames.INIT:
            self._engine = self._make_engine(*frames.unpack_init(frame))
        elif kind == frames.LOAD:
            self._load(*frames.unpack_load(frame))
        else:
            raise OrtError(f"a worker does not take frames of kind {kind}")
        return frames.pack_ready()

    def load(self, config: "Config") -> None:
        """Load a function's graphs without being asked for it. Raises OrtError."""
        self._engine = self._make_engine(config.library, config.threads)
        for graph in config.graphs:
            inputs, outputs = (tuple([port.name for port in side]) for side in (graph.inputs, graph.outputs))
            self._load(graph.path, graph.flags, inputs, outputs)

    def stop(self) -> None:
        """End this process once the running call is answered. For signal handlers."""
        if not self.busy:
            os._exit(0)
        self.stopping = True

    def forget_gateway(self) -> None:
        """Release all that belonged to the requests of a gateway that has ended."""
        self._forget()
        self._release_kept()
        self._segments.clear()
        for descriptor in self._peers.values():  # else they would not see that the gateway has ended
            os.close(descriptor)
        self._peers.clear()
        self.connection = None
        self.busy = False
        if self.stopping:
            os._exit(0)

    def _load(self, path: str, flags: int, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        assert self._engine is not None, "LOAD before INIT"
        self._sessions.append(load_graph(self._engine, path, flags, inputs, outputs))
        trim_heap()
        self._engine.mapped.loaded()

    def called(self) -> None:
        """After the answer to a frame: a call's libraries are looked after while nobody waits."""
        if self._ran and self._engine is not None:
            self._engine.mapped.called()

    def _learn(self, kind: int, frame: memoryview, descriptors: list[int]) -> None:
        """Take or forget a segment, or take a peer, in place of the one that had its number."""
        if kind == frames.DETACH:
            self._release_kept()  # they may be in this segment; outputs to be fetched are in the engine's memory
            self._segments.pop(frames.unpack_segment(frame)[0], None)
            return
        (descriptor,) = descriptors
        if kind == frames.ATTACH:
            self._attach(frame, descriptor)
            return
        number = frames.number_of(frame)
        if number in self._peers:
            os.close(self._peers[number])
        self._peers[number] = descriptor

    def _attach(self, frame: memoryview, descriptor: int) -> None:
        segment, size = frames.unpack_segment(frame)
        try:
            memory = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        self._segments[segment] = memory, ctypes.addressof(ctypes.c_char.from_buffer(memory))

    def _run(self, frame: memoryview, arrived_ns: int) -> bytes:
        chain = frames.unpack_chain(frame) if frames.kind_of(frame) == frames.CHAIN else None
        try:
            bound = self._bound(bytes(frame if chain is None else chain[0]))
            started_ns = perf_counter_ns()
            bound.run()
        except OrtError as error:
            self._forget()  # there is nothing to fetch
            if lacked_memory(error):
                raise
            raise RefusedError(str(error)) from error
        compute_ns = perf_counter_ns() - started_ns
        if not self._place_foreseen(bound):
            self._forget()
            return frames.pack_done(perf_counter_ns() - arrived_ns, compute_ns, [], how=frames.MISFIT)
        made = [_described(bound.describe(i)) for i in bound.pending]
        if not made:
            self._forget()
        held_ns = perf_counter_ns() - arrived_ns  # not what follows: the peer may run on this core from then on
        passed = chain is not None and self._pass_on(*chain[1:])
        return frames.pack_done(held_ns, compute_ns, made, how=frames.PASSED if passed else 0)

    def _pass_on(self, peer: int, following: memoryview, segment: int, abort: int) -> bool:
        """Send a chain's next frame, before the gateway hears of the end: what it hears as passed has been sent."""
        if self._segments[segment][0][abort]:
            return False
        try:
            os.write(self._peers[peer], following)
        except OSError:  # the peer has died, or its socket is full: the gateway goes on from here
            return False
        return True

    def _bound(self, frame: bytes) -> "AnyBound":
        """The graph of a RUN bound to its tensors; kept for equal frames where the run can be repeated."""
        self._forget()
        bound = self._kept.get(frame)
        if bound is not None:
            return bound
        graph, inputs, outputs = frames.unpack_run(memoryview(frame))
        places = [None if ref.foreseen or ref.segment == frames.NOWHERE else self._place(ref) for ref in outputs]
        bound = self._sessions[graph].bind([self._place(ref) for ref in inputs], places)
        self._foreseen = {i: ref for i, ref in enumerate(outputs) if ref.foreseen}
        if not bound.lasting:
            self._passing = bound
            return bound
        if len(self._kept) == _MOST_KEPT:
            self._kept.pop(next(iter(self._kept))).close()
        self._kept[frame] = bound
        return bound

    def _place_foreseen(self, bound: "AnyBound") -> bool:
        """After a run: copy outputs to the places that were foreseen; none where one of them has another shape.

        They are not bound to these places before, since the engine fails in the middle of a run where they do not fit.
        """
        for i, ref in self._foreseen.items():
            found = bound.describe(i)
            if (found.code, found.shape, found.nbytes) != (ref.code, ref.shape, ref.nbytes):
                return False
        for i, ref in self._foreseen.items():
            bound.copy(i, self._place(ref).address)
            bound.pending.remove(i)
        return True

    def _run_sequence(self, frame: memoryview, began_ns: int) -> bytes:
        steps, segment, offset, deadline_ns = sequence.unpack_sequence(frame)
        flags = sequence.Flags(self._segments[segment][0], offset, deadline_ns, self._is_alone)
        times: list[tuple[int, int, int]] = []
        for step in steps:
            bound = self._bound(bytes(step.frame))  # while other functions compute its inputs
            ready_ns = perf_counter_ns()
            if not flags.wait(step.waits):
                return sequence.pack_sequence_done(sequence.STOPPED, times)
            started_ns = ended_ns = perf_counter_ns()
            # Where the flag is set, this function's worker ran the call before it died. Others may be reading the
            # outputs, so they must not be written again.
            if not flags.is_raised(step.flag):
                try:
                    bound.run()
                except OrtError as error:
                    flags.raise_flag(sequence.ABORT)
                    return sequence.pack_sequence_done(sequence.REFUSED, times, str(error))
                ended_ns = perf_counter_ns()
                if not self._place_foreseen(bound):
                    self._forget()
                    flags.raise_flag(sequence.ABORT)
                    return sequence.pack_sequence_done(sequence.MISFIT, times)
                flags.raise_flag(step.flag)
                self._forget()
            now_ns = perf_counter_ns()
            times.append((now_ns - began_ns, ended_ns - started_ns, started_ns - ready_ns))
            began_ns = now_ns
        return sequence.pack_sequence_done(sequence.ENDED, times)

    def _is_alone(self) -> bool:
        """Whether the gateway has closed its end of the connection."""
        assert self.connection is not None, "a call without a connection"
        try:
            return not self.connection.recv(1, MSG_PEEK | MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _fetch(self, frame: memoryview, arrived_ns: int) -> bytes:
        places = frames.unpack_fetch(frame)
        if self._passing is None:
            raise OrtError("nothing to fetch")
        for index, ref in zip(self._passing.pending, places, strict=True):
            self._passing.copy(index, self._place(ref).address)
        self._forget()
        return frames.pack_done(perf_counter_ns() - arrived_ns, 0, [])

    def _place(self, ref: TensorRef) -> Tensor:
        memory, address = self._segments[ref.segment]
        assert ref.offset + ref.nbytes <= len(memory), "a tensor reaches past its segment"
        return Tensor(ref.code, ref.shape, address + ref.offset, ref.nbytes)

    def _forget(self) -> None:
        """Release the last call's tensors, if they are not kept."""
        self._foreseen.clear()
        if self._passing is not None:
            self._passing.close()
            self._passing = None

    def _release_kept(self) -> None:
        for bound in self._kept.values():
            bound.close()
        self._kept.clear()


def _described(tensor: Tensor) -> TensorRef:
    return TensorRef(tensor.code, tensor.shape, frames.NOWHERE, 0, tensor.nbytes)


def serve(connection: socket, worker: Worker) -> None:
    """Answer frames until the other side closes."""
    worker.connection = connection
    buffer = bytearray(frames.MAX_FRAME)
    view = memoryview(buffer)
    while True:
        size, ancillary, _, _ = connection.recvmsg_into([buffer], _ANCILLARY_BYTES)
        if size == 0:
            return
        worker.busy = True
        try:
            reply = worker.answer(view[:size], _descriptors(ancillary))
        except OrtError as error:
            reply = frames.pack_failed(str(error), refused=isinstance(error, RefusedError))
        if reply is not None and len(reply) > frames.MAX_FRAME:
            reply = frames.pack_failed(f"{len(reply)} bytes to say what the outputs are: too many outputs for a frame")
        if reply is not None:
            connection.send(reply)
            worker.called()
        worker.busy = False
        if worker.stopping:
            os._exit(0)


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    numbers: list[int] = []
    for level, kind, data in ancillary:
        if level == SOL_SOCKET and kind == SCM_RIGHTS:
            # Not the module ``array``, which imports ``collections``.
            numbers += memoryview(data)[: len(data) // _INT_BYTES * _INT_BYTES].cast("i")
    return numbers


def main(make_engine: "MakeEngine" = Engine) -> None:
    """Serve the socket whose descriptor is the first argument."""
    give_up_privileges()
    try:
        serve(socket(fileno=int(sys.argv[1])), Worker(make_engine))
    except (ConnectionError, BrokenPipeError, KeyboardInterrupt):
        # The gateway has ended.
        os._exit(0)
    os._exit(0)
