"""What codecs of messages save and take for a tensor, measured on its values: both depend on them."""

import ctypes
import time
from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np

from mopar.gateway.arrays import Array
from mopar.platforms.codes import lossless
from mopar.runtime.lossless import LEAST_BYTES, Lossless
from mopar.runtime.variants import VARIANTS
from mopar.types import TensorCoding

LIBRARY_MIB = 2.0
"""Memory of a function beside codes: what compressors work in, and the library's pages in use, at most
(docs/decisions/lossless.md)."""
SAMPLE_REQUESTS = 4
"""Whose values are looked at: more requests change little."""
_SAMPLE_BYTES, _PIECE_BYTES = 1 << 20, 128 << 10
"""Of a tensor's values in all requests, in pieces from all over it: the library compresses such blocks one by one."""
_MARGIN = 1.1
"""By which codes may exceed those of the samples."""
_WORTHWHILE = 0.98
_MIB = 1 << 20
_ROUNDS = 3
_PER_TENSOR_MS = 0.03
"""On either side, whatever its size: its description, and its places."""
_KINDS = "biuf"
"""Booleans, integers and floats that numpy knows."""


class MessageCodecs:
    """Measures the codecs of messages.

    Args:
        library: that encodes and decodes.
        clock: in seconds.
    """

    def __init__(self, library: Lossless, clock: Callable[[], float] = time.perf_counter) -> None:
        self._library, self._clock = library, clock

    @classmethod
    def here(cls) -> "MessageCodecs":
        """With the library of this process. Raises PlatformError where there is none."""
        return cls(lossless())

    def codings(self, values: Sequence[Array], texts: Collection[str] = VARIANTS) -> Iterator[TensorCoding]:
        """What each codec does for a tensor; those that save next to nothing are left out.

        Args:
            values: of the tensor in several requests.
            texts: of the codecs.
        """
        kept = [value for value in values if value.nbytes >= LEAST_BYTES and value.dtype.kind in _KINDS]
        if not kept or not texts:
            return
        requests = [list(_pieces(value, _SAMPLE_BYTES // len(kept))) for value in kept]
        added_ms = _PER_TENSOR_MS / (kept[0].nbytes / _MIB)
        for text in texts:
            coding = self._measured(text, requests, kept[0].dtype.itemsize, added_ms)
            if coding.ratio < _WORTHWHILE:
                yield coding

    def _measured(
        self, text: str, requests: Sequence[Sequence[Array]], item_bytes: int, added_ms_per_mib: float
    ) -> TensorCoding:
        ratios, seconds = [], [0.0, 0.0]
        for pieces in requests:
            sent = 0
            for piece in pieces:
                code_bytes, encode_s, decode_s = self._run(text, piece, item_bytes)
                sent += code_bytes or piece.nbytes
                seconds = [seconds[0] + encode_s, seconds[1] + decode_s]
            ratios.append(sent / sum(piece.nbytes for piece in pieces))
        mib = sum(piece.nbytes for pieces in requests for piece in pieces) / _MIB
        return TensorCoding(
            text,
            ratio=float(np.mean(ratios)),
            encode_ms_per_mib=seconds[0] * 1e3 / mib + added_ms_per_mib,
            decode_ms_per_mib=seconds[1] * 1e3 / mib + added_ms_per_mib,
            most_ratio=min(_MARGIN * max(ratios), 1.0),
            library_mib=LIBRARY_MIB,
            by_gateway=True,
        )

    def _run(self, text: str, piece: Array, item_bytes: int) -> tuple[int, float, float]:
        """Bytes of a piece's code, and the least time to encode and to decode it.

        A function takes the code's checksum, the gateway compares it, and a reader does before it decodes.
        """
        size = piece.nbytes
        code, back = (ctypes.create_string_buffer(size) for _ in range(2))
        source, target, again = piece.ctypes.data, ctypes.addressof(code), ctypes.addressof(back)
        made, encode_s, decode_s = 0, float("inf"), 0.0 if size < LEAST_BYTES else float("inf")
        for _ in range(_ROUNDS):
            began = self._clock()
            made = self._library.encode(text, item_bytes, source, size, target, size)
            for _side in ("function", "gateway"):
                self._library.checksum(memoryview(code)[:made])
            ended = self._clock()
            if made:
                self._library.checksum(memoryview(code)[:made])
                self._library.decode(text, item_bytes, target, made, again, size)
            encode_s, decode_s = min(encode_s, ended - began), min(decode_s, self._clock() - ended)
        return made, encode_s, decode_s


def _pieces(value: Array, most_bytes: int) -> Iterator[Array]:
    """Pieces of a value's bytes, evenly from all of it."""
    data = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
    size = _PIECE_BYTES - _PIECE_BYTES % value.dtype.itemsize
    count = max(min(most_bytes, len(data)) // size, 1)
    for number in range(count):
        start = number * (len(data) // count)
        start -= start % value.dtype.itemsize
        yield data[start : start + size]
