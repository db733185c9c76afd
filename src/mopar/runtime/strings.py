"""String tensors as bytes: each element's length (4 bytes, little endian), then the element.

This is the BYTES form of the Open Inference Protocol, so no conversion is needed at the gateway.
"""

import struct

TYPE_CHECKING = False  # typing costs memory
if TYPE_CHECKING:
    from collections.abc import Iterable

_LENGTH = struct.Struct("<I")


def pack_strings(elements: "Iterable[bytes]") -> bytes:
    """Elements in row-major order as one run of bytes."""
    return b"".join(part for element in elements for part in (_LENGTH.pack(len(element)), element))


def unpack_strings(data: bytes | bytearray | memoryview) -> list[bytes]:
    """The elements of a packed string tensor. Raises ValueError where a length overruns the data."""
    elements = []
    position = 0
    while position < len(data):
        if position + 4 > len(data):
            raise ValueError(f"a string's length is cut off at byte {position}")
        (length,) = _LENGTH.unpack_from(data, position)
        position += 4
        if position + length > len(data):
            raise ValueError(f"a string of {length} bytes at byte {position} overruns the data ({len(data)} bytes)")
        elements.append(bytes(data[position : position + length]))
        position += length
    return elements
