"""What codecs of messages save and take for a tensor, measured on its values: both depend on them."""

import math
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
        """What a codec does for pieces of a tensor in several requests.

        In each round all of them come one after the other, each with places of its own: a function, too, finds caches
        that hold other data, and branches that went otherwise for the last tensor, which together take half as much
        time again. Of a piece the least time of all rounds counts.
        """
        pieces = [piece for pieces in requests for piece in pieces]
        places = [(np.empty(piece.nbytes, np.uint8), np.empty(piece.nbytes, np.uint8)) for piece in pieces]
        rounds = [
            [self._encoded(text, item_bytes, piece, code) for piece, (code, _) in zip(pieces, places, strict=True)]
            for _ in range(_ROUNDS)
        ]
        sizes = [made for made, _ in rounds[0]]
        codes = list(zip(pieces, places, sizes, strict=True))
        decoded = [[self._decoded(text, item_bytes, *code) for code in codes] for _ in range(_ROUNDS)]
        encode_s, decode_s = _least([[taken for _, taken in each] for each in rounds]), _least(decoded)
        sent = iter([made or piece.nbytes for piece, _, made in codes])
        ratios = [sum(next(sent) for _ in own) / sum(piece.nbytes for piece in own) for own in requests]
        mib = sum(piece.nbytes for piece in pieces) / _MIB
        return TensorCoding(
            text,
            ratio=float(np.mean(ratios)),
            encode_ms_per_mib=encode_s * 1e3 / mib + added_ms_per_mib,
            decode_ms_per_mib=decode_s * 1e3 / mib + added_ms_per_mib,
            most_ratio=min(_MARGIN * max(ratios), 1.0),
            library_mib=LIBRARY_MIB,
            by_gateway=True,
        )

    def _encoded(self, text: str, item_bytes: int, piece: Array, code: Array) -> tuple[int, float]:
        """Bytes of a piece's code, and the time to encode it: its checksum is taken, too."""
        size, source, target = piece.nbytes, piece.ctypes.data, code.ctypes.data
        began = self._clock()
        made = self._library.encode(text, item_bytes, source, size, target, size)
        self._library.checksum(code.data[:made])
        return made, self._clock() - began

    def _decoded(self, text: str, item_bytes: int, piece: Array, places: tuple[Array, Array], code_bytes: int) -> float:
        """The time to compare a code's checksum and to decode it; 0 where a piece is sent as it is."""
        if not code_bytes:
            return 0.0
        code, back = places
        source, target = code.ctypes.data, back.ctypes.data
        began = self._clock()
        self._library.checksum(code.data[:code_bytes])
        self._library.decode(text, item_bytes, source, code_bytes, target, piece.nbytes)
        return self._clock() - began


def _least(rounds: Sequence[Sequence[float]]) -> float:
    """The sum over pieces of the least time of any round."""
    return math.fsum(min(times) for times in zip(*rounds, strict=True))


def _pieces(value: Array, most_bytes: int) -> Iterator[Array]:
    """Pieces of a value's bytes, evenly from all of it."""
    data = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
    size = _PIECE_BYTES - _PIECE_BYTES % value.dtype.itemsize
    count = max(min(most_bytes, len(data)) // size, 1)
    for number in range(count):
        start = number * (len(data) // count)
        start -= start % value.dtype.itemsize
        yield data[start : start + size]
