"""The part of ONNX Runtime's C API that a function needs, bound with ctypes.

It takes less memory than the usual Python binding (docs/decisions/engine-binding.md). The API is a struct of function
pointers whose order never changes: later versions only append to it (``onnxruntime_c_api.h``), so the indices below
hold for every release since 1.14.
"""

import ctypes
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_void_p

TYPE_CHECKING = False  # typing and collections cost memory
if TYPE_CHECKING:
    from collections.abc import Callable

API_VERSION = 14
"""The oldest version of the API that has every function named here."""

LOG_FATAL = 4
DEVICE_ALLOCATOR = 0
DEFAULT_MEMORY = 0

_P = c_void_p
_FUNCTIONS: dict[str, tuple[int, tuple[type, ...]]] = {
    "CreateEnv": (3, (c_int, c_char_p, _P)),
    "CreateSession": (7, (_P, c_char_p, _P, _P)),
    "Run": (9, (_P, _P, _P, _P, c_size_t, _P, c_size_t, _P)),
    "CreateSessionOptions": (10, (_P,)),
    "DisableMemPattern": (17, (_P,)),
    "DisableCpuMemArena": (19, (_P,)),
    "SetSessionGraphOptimizationLevel": (23, (_P, c_int)),
    "SetIntraOpNumThreads": (24, (_P, c_int)),
    "SetInterOpNumThreads": (25, (_P, c_int)),
    "CreateTensorAsOrtValue": (48, (_P, _P, c_size_t, c_int, _P)),
    "CreateTensorWithDataAsOrtValue": (49, (_P, _P, c_size_t, _P, c_size_t, c_int, _P)),
    "IsTensor": (50, (_P, _P)),
    "GetTensorMutableData": (51, (_P, _P)),
    "GetStringTensorDataLength": (53, (_P, _P)),
    "GetStringTensorContent": (54, (_P, _P, c_size_t, _P, c_size_t)),
    "GetTensorElementType": (60, (_P, _P)),
    "GetDimensionsCount": (61, (_P, _P)),
    "GetDimensions": (62, (_P, _P, c_size_t)),
    "GetTensorTypeAndShape": (65, (_P, _P)),
    "CreateCpuMemoryInfo": (69, (c_int, c_int, _P)),
    "GetAllocatorWithDefaultOptions": (78, (_P,)),
    "AddSessionConfigEntry": (130, (_P, c_char_p, c_char_p)),
    "GetResizedStringTensorElementBuffer": (252, (_P, c_size_t, c_size_t, _P)),
}
_RELEASES = {
    "ReleaseStatus": 93,
    "ReleaseSession": 95,
    "ReleaseValue": 96,
    "ReleaseTensorTypeAndShapeInfo": 99,
    "ReleaseSessionOptions": 100,
}
_GET_ERROR_MESSAGE = 2
_TABLE_LENGTH = 253

Handle = c_void_p
"""An opaque object of ONNX Runtime."""


class OrtError(Exception):
    """A call of the C API failed; the message is ONNX Runtime's own."""


class _ApiBase(ctypes.Structure):
    _fields_ = (
        ("GetApi", ctypes.CFUNCTYPE(c_void_p, ctypes.c_uint32)),
        ("GetVersionString", ctypes.CFUNCTYPE(c_char_p)),
    )


class Api:
    """The functions of a loaded ``libonnxruntime``.

    Args:
        library: path of the shared library.

    Raises:
        OrtError: it cannot be loaded, or is too old.
    """

    def __init__(self, library: str) -> None:
        try:
            entry = ctypes.CDLL(library).OrtGetApiBase
        except (OSError, AttributeError) as cause:
            raise OrtError(f"{library}: not a library of ONNX Runtime: {cause}") from cause
        entry.restype = POINTER(_ApiBase)
        base = entry().contents
        self.version: str = base.GetVersionString().decode()
        address = base.GetApi(API_VERSION)
        if not address:
            raise OrtError(f"{library}: ONNX Runtime {self.version} is too old: 1.{API_VERSION} or newer is needed")
        table = (c_void_p * _TABLE_LENGTH).from_address(address)
        self._message = ctypes.CFUNCTYPE(c_char_p, c_void_p)(_pointer(table, _GET_ERROR_MESSAGE))
        self._releases = {name: ctypes.CFUNCTYPE(None, _P)(_pointer(table, i)) for name, i in _RELEASES.items()}
        self._functions = {
            name: ctypes.CFUNCTYPE(c_void_p, *arguments)(_pointer(table, index))
            for name, (index, arguments) in _FUNCTIONS.items()
        }

    def function(self, name: str) -> "Callable[..., None]":
        """A function by its name in the C API, which raises OrtError where it returns a status."""
        raw = self._functions[name]

        def call(*arguments: object) -> None:
            status = raw(*arguments)
            if status:
                self._raise(status)

        return call

    def release(self, name: str) -> "Callable[[Handle], None]":
        """A ``Release...`` function by its name."""
        return self._releases[name]

    def _raise(self, status: int) -> None:
        text = self._message(status)
        self._releases["ReleaseStatus"](status)
        raise OrtError(text.decode(errors="replace"))


def _pointer(table: "ctypes.Array[c_void_p]", index: int) -> int:
    pointer = table[index]
    assert pointer, f"function {index} of ONNX Runtime's C API is absent"
    return int(pointer)
