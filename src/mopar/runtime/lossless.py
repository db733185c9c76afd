"""Tensors in fewer bytes between functions, without loss: chunks of Blosc2, made and read by its C library.

A code says its own sizes and filters in its first 32 bytes (C-Blosc2's README_CHUNK_FORMAT.rst). A receiver passes it
on to the library only where they are what it expects, so that the library allocates no more than a few blocks, and
loads no filter of anybody else's.
"""

import ctypes
from _thread import allocate_lock
from binascii import crc32
from ctypes import c_int, c_int16, c_int32, c_size_t, c_void_p

from mopar.runtime.variants import VARIANTS, DamagedError

LEAST_BYTES = 256
"""Fewer are sent as they are, as are those that a codec does not make fewer."""
_MOST_BYTES = (1 << 31) - 64
_BLOCK_BYTES = 128 << 10
"""That are filtered and compressed at once, which stay in the processor's cache."""
_HEADER_BYTES = 32
_FORMAT = 5
_EXTENDED, _NOT_SPLIT = 0x05, 0x10
_COMPRESSORS = {b"lz4": (1 << 5, 1), b"zstd": (4 << 5, 5)}
_SHUFFLE = 1
_ALL_ZERO = 0x10


class LibraryError(OSError):
    """The library cannot be loaded."""


class Lossless:
    """Encodes and decodes. Calls from several threads wait for each other.

    Args:
        library: path of ``libblosc2``.

    Raises:
        LibraryError: it cannot be loaded.
    """

    def __init__(self, library: str) -> None:
        try:
            found = ctypes.CDLL(library)
            self._compress, self._decompress = found.blosc2_compress, found.blosc2_decompress
            self._set_compressor = found.blosc1_set_compressor
            found.blosc1_set_blocksize.argtypes = [c_size_t]
            found.blosc2_set_nthreads.argtypes = [c_int16]
            found.blosc2_init()
        except (OSError, AttributeError) as cause:
            raise LibraryError(f"{library} cannot be loaded as Blosc2's library: {cause}") from cause
        self._compress.argtypes = [c_int, c_int, c_int32, c_void_p, c_int32, c_void_p, c_int32]
        self._decompress.argtypes = [c_void_p, c_int32, c_void_p, c_int32]
        found.blosc2_set_nthreads(1)
        found.blosc1_set_blocksize(_BLOCK_BYTES)
        self._lock = allocate_lock()

    @staticmethod
    def checksum(code: memoryview) -> int:
        """What a code's description says of its bytes."""
        return crc32(code)

    def encode(self, text: str, item_bytes: int, source: int, nbytes: int, target: int) -> int:
        """Encode a tensor.

        Args:
            text: one of ``VARIANTS``.
            item_bytes: of an element.
            source: address of its data.
            nbytes: of its data.
            target: address of as many bytes for the code.

        Returns:
            Bytes of the code, fewer than ``nbytes``; 0 where the tensor is to be sent as it is.
        """
        if not LEAST_BYTES <= nbytes <= _MOST_BYTES:
            return 0
        compressor, level, shuffle = VARIANTS[text]
        with self._lock:
            self._set_compressor(compressor)
            made = int(self._compress(level, shuffle, item_bytes, source, nbytes, target, nbytes - 1))
        if made <= 0 or why_no_code(text, item_bytes, ctypes.string_at(target, _HEADER_BYTES), made, nbytes):
            return 0  # also where the environment has settings of another user's of the library
        return made

    def decode(self, text: str, item_bytes: int, source: int, code_bytes: int, target: int, nbytes: int) -> None:
        """Decode a tensor of ``nbytes`` from its code to ``target``.

        Args:
            text: one of ``VARIANTS``.
            item_bytes: of an element.
            source: address of the code.
            code_bytes: of the code.
            target: address that the tensor is put to.
            nbytes: of the tensor.

        Raises:
            DamagedError: the code is none of such a tensor.
        """
        head = ctypes.string_at(source, min(code_bytes, _HEADER_BYTES))
        why = why_no_code(text, item_bytes, head, code_bytes, nbytes)
        if why:
            raise DamagedError(why)
        with self._lock:
            made = int(self._decompress(source, code_bytes, target, nbytes))
        if made != nbytes:
            raise DamagedError(f"the code is damaged (Blosc2's error {made})")


def why_no_code(text: str, item_bytes: int, head: bytes, code_bytes: int, nbytes: int) -> str:
    """Why a code that begins with ``head`` is none of a tensor of ``nbytes``; empty where it may be one."""
    if len(head) < _HEADER_BYTES or not LEAST_BYTES <= nbytes <= _MOST_BYTES:
        return f"no code of {nbytes} bytes has {code_bytes}"
    sizes = [int.from_bytes(head[start : start + 4], "little") for start in (4, 8, 12)]
    if [sizes[0], sizes[2]] != [nbytes, code_bytes]:
        return f"the code says that it has {sizes[2]} of {sizes[0]} bytes, not {code_bytes} of {nbytes}"
    compressor, _, shuffle = VARIANTS[text]
    flags, number = _COMPRESSORS[compressor]
    used = 0 if shuffle == _SHUFFLE and item_bytes == 1 else shuffle
    whole = head[0], head[2] & ~_NOT_SPLIT, head[3], head[16:31], head[31] & ~_ALL_ZERO
    wanted = _FORMAT, _EXTENDED | flags, item_bytes, bytes([0] * 5 + [used, number]) + bytes(8), 0
    if whole != wanted or not 0 < sizes[1] <= min(nbytes, _BLOCK_BYTES):
        return f"the code is none of {text} for elements of {item_bytes} bytes"
    return ""
