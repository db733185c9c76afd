"""Tensors in fewer bytes between functions, without loss: chunks of Blosc2, made and read by its C library.

A code says its own sizes and filters in its first 32 bytes (C-Blosc2's README_CHUNK_FORMAT.rst). A receiver passes it
on to the library only where they are what it expects, so that the library allocates no more than a few blocks, and
loads no filter of anybody else's.
"""

import ctypes
from binascii import crc32
from ctypes import c_int, c_int16, c_int32, c_uint8, c_void_p

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
_FILTERS, _SHUFFLE = 6, 1
_DEFAULTS = 5, 8, 1, 0, 4, bytes([0] * (_FILTERS - 1) + [_SHUFFLE])
_ALL_ZERO = 0x10


class LibraryError(OSError):
    """The library cannot be loaded."""


class _EncoderSettings(ctypes.Structure):
    """``blosc2_cparams`` of blosc2.h up to its filters, and room for what is behind them, also in later versions."""

    _fields_ = (
        ("compressor", c_uint8),
        ("compressor_meta", c_uint8),
        ("level", c_uint8),
        ("use_dict", c_int),
        ("item_bytes", c_int32),
        ("threads", c_int16),
        ("block_bytes", c_int32),
        ("split", c_int32),
        ("schunk", c_void_p),
        ("filters", c_uint8 * _FILTERS),
        ("behind", c_void_p * 32),
    )


class _DecoderSettings(ctypes.Structure):
    """``blosc2_dparams``, of which the defaults are right: one thread."""

    _fields_ = (("all", c_void_p * 16),)


class Lossless:
    """Encodes and decodes; several threads may at once, each call with a context of the library of its own.

    Args:
        library: path of ``libblosc2``.

    Raises:
        LibraryError: it cannot be loaded.
    """

    def __init__(self, library: str) -> None:
        try:
            found = ctypes.CDLL(library)
            found.blosc2_init()
            self._compress, self._decompress = found.blosc2_compress_ctx, found.blosc2_decompress_ctx
            self._new_encoder, self._new_decoder = found.blosc2_create_cctx, found.blosc2_create_dctx
            self._free = found.blosc2_free_ctx
            encoder, decoder = found.blosc2_get_blosc2_cparams_defaults, found.blosc2_get_blosc2_dparams_defaults
        except (OSError, AttributeError) as cause:
            raise LibraryError(f"{library} cannot be loaded as Blosc2's library: {cause}") from cause
        for function in (self._compress, self._decompress):
            function.argtypes = [c_void_p, c_void_p, c_int32, c_void_p, c_int32]
        for function, settings in ((self._new_encoder, _EncoderSettings), (self._new_decoder, _DecoderSettings)):
            function.argtypes, function.restype = [settings], c_void_p
        self._free.argtypes, self._free.restype = [c_void_p], None
        encoder.restype, decoder.restype = _EncoderSettings, _DecoderSettings
        self._encoder, self._decoder = encoder(), decoder()
        made = self._encoder
        if (made.level, made.item_bytes, made.threads, made.block_bytes, made.split, bytes(made.filters)) != _DEFAULTS:
            raise LibraryError(f"{library} is of another version of Blosc2, whose settings have other places")

    @staticmethod
    def checksum(code: memoryview) -> int:
        """What a code's description says of its bytes."""
        return crc32(code)

    @staticmethod
    def most_bytes(nbytes: int, most_ratio: float) -> int:
        """Bytes that the code of a tensor of ``nbytes`` may have, by what was planned per byte."""
        return int(nbytes * most_ratio)

    def encode(self, text: str, item_bytes: int, source: int, nbytes: int, target: int, most_bytes: int) -> int:
        """Encode a tensor.

        Args:
            text: one of ``VARIANTS``.
            item_bytes: of an element.
            source: address of its data.
            nbytes: of its data.
            target: address of ``most_bytes`` for the code; not one more is written to.
            most_bytes: that the code may have.

        Returns:
            Bytes of the code, fewer than ``nbytes``; 0 where the tensor is to be sent as it is.

        Raises:
            MemoryError: there is none to work in.
        """
        if not LEAST_BYTES <= nbytes <= _MOST_BYTES:
            return 0
        context = self._new_encoder(self._settings(text, item_bytes))
        if not context:
            raise MemoryError
        try:
            made = int(self._compress(context, source, nbytes, target, min(most_bytes, nbytes - 1)))
        finally:
            self._free(context)
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
            MemoryError: there is none to work in.
        """
        head = ctypes.string_at(source, min(code_bytes, _HEADER_BYTES))
        why = why_no_code(text, item_bytes, head, code_bytes, nbytes)
        if why:
            raise DamagedError(why)
        context = self._new_decoder(self._decoder)
        if not context:
            raise MemoryError
        try:
            made = int(self._decompress(context, source, code_bytes, target, nbytes))
        finally:
            self._free(context)
        if made != nbytes:
            raise DamagedError(f"the code is damaged (Blosc2's error {made})")

    def _settings(self, text: str, item_bytes: int) -> _EncoderSettings:
        compressor, level, shuffle = VARIANTS[text]
        made = _EncoderSettings.from_buffer_copy(self._encoder)
        made.compressor, made.level = _COMPRESSORS[compressor][1], level
        made.item_bytes, made.block_bytes = item_bytes, _BLOCK_BYTES
        made.filters[_FILTERS - 1] = _filter(shuffle, item_bytes)
        return made


def _filter(shuffle: int, item_bytes: int) -> int:
    """Bytes by themselves have none to shuffle."""
    return 0 if shuffle == _SHUFFLE and item_bytes == 1 else shuffle


def why_no_code(text: str, item_bytes: int, head: bytes, code_bytes: int, nbytes: int) -> str:
    """Why a code that begins with ``head`` is none of a tensor of ``nbytes``; empty where it may be one."""
    if len(head) < _HEADER_BYTES or not LEAST_BYTES <= nbytes <= _MOST_BYTES:
        return f"no code of {nbytes} bytes has {code_bytes}"
    sizes = [int.from_bytes(head[start : start + 4], "little") for start in (4, 8, 12)]
    if [sizes[0], sizes[2]] != [nbytes, code_bytes]:
        return f"the code says that it has {sizes[2]} of {sizes[0]} bytes, not {code_bytes} of {nbytes}"
    compressor, _, shuffle = VARIANTS[text]
    flags, number = _COMPRESSORS[compressor]
    whole = head[0], head[2] & ~_NOT_SPLIT, head[3], head[16:31], head[31] & ~_ALL_ZERO
    filters = bytes(_FILTERS - 1) + bytes([_filter(shuffle, item_bytes)])
    wanted = _FORMAT, _EXTENDED | flags, item_bytes, filters + bytes([number]) + bytes(8), 0
    if whole != wanted or not 0 < sizes[1] <= min(nbytes, _BLOCK_BYTES):
        return f"the code is none of {text} for elements of {item_bytes} bytes"
    return ""
