"""Memory for bytes that are about to be received, and where bytes are, for libraries."""

import ctypes
import mmap

Buffer = bytes | bytearray | memoryview

_OWN_PAGES_BYTES = 1 << 22
"""From here on bytes get pages of their own, none of them huge: the first touch of a huge page can hold up the event
loop for tens of milliseconds."""
_SIMPLE = 0
_bytearray = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_char_p, ctypes.c_ssize_t)(
    ("PyByteArray_FromStringAndSize", ctypes.pythonapi)
)


def fresh_bytes(count: int) -> memoryview:
    """Bytes that take no memory before they are written. Python's own ``bytearray(count)`` writes zeros."""
    if count < _OWN_PAGES_BYTES:
        return memoryview(_bytearray(None, count))
    pages = mmap.mmap(-1, count, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    return memoryview(pages)


class _Buffer(ctypes.Structure):
    """``Py_buffer``: the address of bytes, and what else Python says of them."""

    _fields_ = (("address", ctypes.c_void_p), ("others", ctypes.c_void_p * 10))


def address_of(view: memoryview) -> int:
    """Where a view's bytes are, for as long as it is held; of those that may not be written, too.

    Args:
        view: of bytes in one piece.
    """
    found = _Buffer()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(view), ctypes.byref(found), _SIMPLE)
    address = found.address or 0
    ctypes.pythonapi.PyBuffer_Release(ctypes.byref(found))
    return address
