"""String tensors as bytes: each element's length (4 bytes, little endian), then the element.

This is the BYTES form of the Open Inference Protocol, so that the gateway need not convert it.
"""

import struct

TYPE_CHECKING = False  # typing costs memory
if TYPE_CHECKING:
    from collections.abc import Iterable

_LENGTH = struct.Struct("<I")


def pack_strings(elements: "Iterable[bytes]") -> bytes:
    """Elements in row-major order as contiguous bytes."""
    return b"".join(part for element in elements for part in (_LENGTH.pack(len(element)), element))


def count_strings(data: bytes | bytearray | memoryview) -> int:
    """How many elements a packed string tensor has. Raises ValueError where a length overruns the data."""
    count = position = 0
    while position < len(data):
        position = _end(data, position)
        count += 1
    return count


def unpack_strings(data: bytes | bytearray | memoryview) -> list[bytes]:
    """The elements of a packed string tensor. Raises ValueError where a length overruns the data."""
    elements = []
    position = 0
    while position < len(data):
        end = _end(data, position)
        elements.append(bytes(data[position + 4 : end]))
        position = end
    return elements


def _end(data: bytes | bytearray | memoryview, position: int) -> int:
    """Where the element that begins at a position ends."""
    if position + 4 > len(data):
        raise ValueError(f"a string's length is cut off at byte {position}")
    (length,) = _LENGTH.unpack_from(data, position)
    end: int = position + 4 + length
    if end > len(data):
        raise ValueError(f"a string of {length} bytes at byte {position + 4} overruns the data ({len(data)} bytes)")
    return end
