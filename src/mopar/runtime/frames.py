"""Control frames between the gateway and a worker: one message of a SOCK_SEQPACKET socket each.

Frames contain no tensors, only their places in shared memory. All numbers are little endian.

    INIT    gateway -> worker   library of ONNX Runtime, threads
    LOAD    gateway -> worker   a graph's file, how to load it, its inputs and outputs
    READY   worker -> gateway   one for INIT, one for each LOAD
    ATTACH  gateway -> worker   a shared memory segment (its descriptor travels with the frame)
    DETACH  gateway -> worker   forget a segment
    RUN     gateway -> worker   run a graph on these inputs; where outputs go whose size is known, or foreseen
    CHAIN   gateway or worker -> worker   a RUN, and what to send to which peer after it: a RUN or a CHAIN
    PEER    gateway -> worker   what the gateway sends to another worker by (its descriptor travels with the frame)
    FETCH   gateway -> worker   where the outputs go that have no place
    DONE    worker -> gateway   how long it took, outputs that have no place, whether it was passed on, or an output was
                                not as foreseen; answers RUN, CHAIN and FETCH
    FAILED  worker -> gateway   one line of text, and whether inputs were refused; answers any of the gateway's
    RUN_SEQUENCE   gateway -> worker   several runs, and what each waits for (``mopar.runtime.sequence``)
    SEQUENCE_DONE  worker -> gateway   how they went; answers RUN_SEQUENCE
    HELLO   worker -> gateway   what it serves, where it loaded its graphs by itself (``mopar.runtime.listening``)
    PING    gateway -> worker   a number
    PONG    worker -> gateway   the same number; all frames that were sent before the PING are answered before it
"""

import struct

TYPE_CHECKING = False  # typing and collections cost memory
if TYPE_CHECKING:
    from collections.abc import Sequence

INIT, LOAD, READY, ATTACH, DETACH, RUN, FETCH, DONE, FAILED, RUN_SEQUENCE, SEQUENCE_DONE, HELLO = range(1, 13)
CHAIN, PEER, PING, PONG = range(13, 17)

MAX_FRAME = 1 << 17
"""Longest frame in bytes: below the kernel's default limit of a message (208 KiB)."""

NOWHERE = 0
"""The segment of a tensor that has no place yet; segments are numbered from 1."""

OPTIMIZE, PREPACK, ARENA, MEMORY_PATTERN = 1, 2, 4, 8

PASSED, MISFIT = 1, 2

_HEAD = struct.Struct("<BxHI")
_TENSOR = struct.Struct("<BB?xIQQ")
_TIMES = struct.Struct("<QQ")
_SEGMENT = struct.Struct("<IxxxxQ")
_TEXT = struct.Struct("<I")

CHAIN_BYTES = _HEAD.size + _SEGMENT.size
"""By which CHAIN is longer than the RUN and the further frame in it."""


class TensorRef:
    """A tensor's type, shape and place: ``nbytes`` at ``offset`` of a shared memory segment.

    ``foreseen`` where an output may turn out to have another shape: then it is not written.
    """

    __slots__ = ("code", "foreseen", "nbytes", "offset", "segment", "shape")

    def __init__(
        self, code: int, shape: tuple[int, ...], segment: int, offset: int, nbytes: int, foreseen: bool = False
    ) -> None:
        self.code = code
        self.foreseen = foreseen
        self.shape = shape
        self.segment = segment
        self.offset = offset
        self.nbytes = nbytes


def kind_of(frame: bytes | memoryview) -> int:
    """The kind of a frame, one of the constants above."""
    return frame[0]


def pack_init(library: str, threads: int) -> bytes:
    """INIT: path of ``libonnxruntime``, threads of an operator."""
    return _HEAD.pack(INIT, threads, 0) + _pack_texts([library])


def unpack_init(frame: memoryview) -> tuple[str, int]:
    """Library and threads of INIT."""
    _, threads, _ = _HEAD.unpack_from(frame)
    return _unpack_texts(frame, _HEAD.size)[0], threads


def pack_load(path: str, flags: int, inputs: list[str], outputs: list[str]) -> bytes:
    """LOAD: graph file, a sum of OPTIMIZE, PREPACK, ARENA and MEMORY_PATTERN, names in order."""
    frame = _HEAD.pack(LOAD, flags, len(inputs)) + _pack_texts([path, *inputs, *outputs])
    if len(frame) > MAX_FRAME:
        raise ValueError(f"{path}: the names of its {len(inputs) + len(outputs)} inputs and outputs are too long")
    return frame


def unpack_load(frame: memoryview) -> tuple[str, int, tuple[str, ...], tuple[str, ...]]:
    """Path, flags, inputs and outputs of LOAD."""
    _, flags, n_inputs = _HEAD.unpack_from(frame)
    path, *names = _unpack_texts(frame, _HEAD.size)
    return path, flags, tuple(names[:n_inputs]), tuple(names[n_inputs:])


def pack_ready() -> bytes:
    """READY."""
    return _HEAD.pack(READY, 0, 0)


def pack_number(kind: int, number: int) -> bytes:
    """PEER with the peer's number, or PING or PONG with any."""
    return _HEAD.pack(kind, 0, number)


def number_of(frame: bytes | memoryview) -> int:
    """The number of PEER, PING or PONG."""
    _, _, number = _HEAD.unpack_from(frame)
    return int(number)


def pack_attach(segment: int, size: int) -> bytes:
    """ATTACH: a segment's number and its size in bytes."""
    return _HEAD.pack(ATTACH, 0, 0) + _SEGMENT.pack(segment, size)


def pack_detach(segment: int) -> bytes:
    """DETACH: a segment's number."""
    return _HEAD.pack(DETACH, 0, 0) + _SEGMENT.pack(segment, 0)


def unpack_segment(frame: memoryview) -> tuple[int, int]:
    """Number and size of ATTACH or DETACH."""
    segment, size = _SEGMENT.unpack_from(frame, _HEAD.size)
    return segment, size


def pack_run(graph: int, inputs: list[TensorRef], outputs: list[TensorRef]) -> bytes:
    """RUN: the index of a loaded graph; a place for every input, and a place or NOWHERE for every output."""
    frame = _HEAD.pack(RUN, graph, len(inputs)) + _pack_tensors(inputs) + _pack_tensors(outputs)
    if len(frame) > MAX_FRAME:
        raise ValueError(f"a call with {len(inputs)} inputs and {len(outputs)} outputs is too large for a frame")
    return frame


def unpack_run(frame: memoryview) -> tuple[int, list[TensorRef], list[TensorRef]]:
    """Graph, inputs and outputs of RUN."""
    _, graph, n_inputs = _HEAD.unpack_from(frame)
    tensors = _unpack_tensors(frame, _HEAD.size)
    return graph, tensors[:n_inputs], tensors[n_inputs:]


def pack_chain(run: bytes, peer: int, following: bytes, segment: int, abort: int) -> bytes:
    """CHAIN: a RUN; the frame that ``peer`` gets after it, unless the byte at ``abort`` of a segment is set by then."""
    return _HEAD.pack(CHAIN, peer, len(run)) + _SEGMENT.pack(segment, abort) + run + following


def unpack_chain(frame: memoryview) -> tuple[memoryview, int, memoryview, int, int]:
    """The RUN of CHAIN, peer, the frame for it, segment and offset of the byte that ends the chain."""
    _, peer, length = _HEAD.unpack_from(frame)
    segment, abort = _SEGMENT.unpack_from(frame, _HEAD.size)
    stop = CHAIN_BYTES + length
    return frame[CHAIN_BYTES:stop], peer, frame[stop:], segment, abort


def pack_fetch(outputs: "Sequence[TensorRef]") -> bytes:
    """FETCH: a place for every output that had none."""
    return _HEAD.pack(FETCH, 0, 0) + _pack_tensors(outputs)


def unpack_fetch(frame: memoryview) -> list[TensorRef]:
    """Places of FETCH."""
    return _unpack_tensors(frame, _HEAD.size)


def pack_done(held_ns: int, compute_ns: int, outputs: list[TensorRef], *, how: int = 0) -> bytes:
    """DONE: time from the frame's arrival to now, time inside the engine, outputs that have no place yet.

    ``how`` is PASSED where what follows in a chain was sent to the peer, MISFIT where an output is not as foreseen.
    """
    return _HEAD.pack(DONE, how, 0) + _TIMES.pack(held_ns, compute_ns) + _pack_tensors(outputs)


def unpack_done(frame: memoryview) -> tuple[int, int, list[TensorRef]]:
    """Times of DONE, and outputs that have no place yet."""
    held_ns, compute_ns = _TIMES.unpack_from(frame, _HEAD.size)
    return held_ns, compute_ns, _unpack_tensors(frame, _HEAD.size + _TIMES.size)


def was_passed(frame: memoryview) -> bool:
    """Whether the worker that sent DONE has passed on what follows in the chain."""
    _, how, _ = _HEAD.unpack_from(frame)
    return bool(how == PASSED)


def misfits(frame: memoryview) -> bool:
    """Whether an output is not as foreseen, in the run that DONE answers."""
    _, how, _ = _HEAD.unpack_from(frame)
    return bool(how == MISFIT)


def pack_failed(text: str, *, refused: bool = False) -> bytes:
    """FAILED: what went wrong, shortened to fit; ``refused`` where the engine would not run on these inputs."""
    return _HEAD.pack(FAILED, refused, 0) + _pack_texts([text[:4096]])


def unpack_failed(frame: memoryview) -> tuple[str, bool]:
    """The text of FAILED, and whether the engine refused the inputs."""
    _, refused, _ = _HEAD.unpack_from(frame)
    return _unpack_texts(frame, _HEAD.size)[0], bool(refused)


def pack_hello(function: str, graphs: list[tuple[str, str]]) -> bytes:
    """HELLO: a function, and the name and digest of each of its graphs in the order in which calls number them."""
    return _HEAD.pack(HELLO, 0, 0) + _pack_texts([function, *[text for graph in graphs for text in graph]])


def unpack_hello(frame: memoryview) -> tuple[str, list[tuple[str, str]]]:
    """Function and graphs of HELLO."""
    function, *texts = _unpack_texts(frame, _HEAD.size)
    return function, list(zip(texts[::2], texts[1::2], strict=True))


def _pack_texts(texts: list[str]) -> bytes:
    encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
    return b"".join(part for text in encoded for part in (_TEXT.pack(len(text)), text))


def _unpack_texts(frame: memoryview, position: int) -> list[str]:
    texts = []
    while position < len(frame):
        (length,) = _TEXT.unpack_from(frame, position)
        position += _TEXT.size
        texts.append(bytes(frame[position : position + length]).decode("utf-8", "surrogateescape"))
        position += length
    return texts


def _pack_tensors(tensors: "Sequence[TensorRef]") -> bytes:
    return b"".join(
        struct.pack(
            f"<BB?xIQQ{len(tensor.shape)}q",
            tensor.code,
            len(tensor.shape),
            tensor.foreseen,
            tensor.segment,
            tensor.offset,
            tensor.nbytes,
            *tensor.shape,
        )
        for tensor in tensors
    )


def _unpack_tensors(frame: memoryview, position: int) -> list[TensorRef]:
    tensors = []
    while position < len(frame):
        code, rank, foreseen, segment, offset, nbytes = _TENSOR.unpack_from(frame, position)
        position += _TENSOR.size
        shape = struct.unpack_from(f"<{rank}q", frame, position)
        position += 8 * rank
        tensors.append(TensorRef(code, shape, segment, offset, nbytes, foreseen))
    return tensors
