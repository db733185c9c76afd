"""Tensor values as numpy arrays, and back."""

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mopar.buffers import Buffer
from mopar.runtime.strings import pack_strings, unpack_strings
from mopar.types import InputError, TensorValue, dtype_of_name, element_count, format_shape

Array = NDArray[Any]


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Numpy's little-endian dtype for one of ``DTYPES``; object for strings.

    Raises:
        InputError: the type comes from ml_dtypes, which is not installed.
    """
    if name == "string":
        return np.dtype(object)
    try:
        return np.dtype(name).newbyteorder("<")
    except TypeError:
        pass
    try:
        found: np.dtype[Any] = np.dtype(getattr(importlib.import_module("ml_dtypes"), name))
    except (ImportError, AttributeError) as cause:
        raise InputError(f"{name} arrays need a recent ml_dtypes: install it") from cause
    return found


def to_array(value: TensorValue) -> Array:
    """A value as an array: numbers as a view of its data, strings as objects (str; bytes where not UTF-8).

    Raises:
        InputError: data and shape do not fit, or the type needs ml_dtypes.
    """
    dtype, count = dtype_of_name(value.dtype), element_count(value.shape)
    if value.dtype == "string":
        return _string_array(value, count)
    if memoryview(value.data).nbytes != dtype.nbytes(count):
        raise InputError(f"{value.name}: {len(value.data)} bytes are no {value.dtype} of {format_shape(value.shape)}")
    if dtype.bits == 4:
        return _unpack_nibbles(value.data, count, numpy_dtype(value.dtype)).reshape(value.shape)
    return np.frombuffer(value.data, numpy_dtype(value.dtype), count).reshape(value.shape)


def from_array(name: str, array: Array) -> TensorValue:
    """An array as a value; numbers that are contiguous and little endian are not copied.

    Raises:
        InputError: the array's dtype has no counterpart.
    """
    if array.dtype.kind in "OSUT":
        flat = (item if isinstance(item, bytes) else str(item).encode() for item in array.ravel().tolist())
        return TensorValue(name, "string", array.shape, pack_strings(flat))
    try:
        dtype = dtype_of_name(array.dtype.name)
    except KeyError as cause:
        raise InputError(f"{name}: arrays of {array.dtype} cannot be sent; convert it") from cause
    # ascontiguousarray makes a scalar one-dimensional: the shape is taken from the array as it came.
    flat_array = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False)).reshape(-1)
    if dtype.bits == 4:
        return TensorValue(name, dtype.name, array.shape, _pack_nibbles(flat_array))
    return TensorValue(name, dtype.name, array.shape, flat_array.view(np.uint8).data)


def _string_array(value: TensorValue, count: int) -> Array:
    try:
        strings = unpack_strings(value.data)
    except ValueError as cause:
        raise InputError(f"{value.name}: not valid BYTES data: {cause}") from cause
    if len(strings) != count:
        raise InputError(f"{value.name}: {len(strings)} strings are no {format_shape(value.shape)}")
    array = np.empty(count, object)
    array[:] = [_text(string) for string in strings]
    return array.reshape(value.shape)


def _text(string: bytes) -> str | bytes:
    try:
        return string.decode()
    except UnicodeDecodeError:
        return string


def _pack_nibbles(flat: Array) -> bytes:
    """Two elements a byte, the first in the low half, as ONNX stores them."""
    nibbles = flat.astype(np.int8).view(np.uint8) & 0x0F
    pairs = np.append(nibbles, np.uint8(0)) if len(nibbles) % 2 else nibbles
    return (pairs[::2] | (pairs[1::2] << 4)).tobytes()


def _unpack_nibbles(data: Buffer, count: int, dtype: np.dtype[Any]) -> Array:
    packed = np.frombuffer(data, np.uint8)
    nibbles = np.stack([packed & 0x0F, packed >> 4], axis=1).reshape(-1)[:count].astype(np.int8)
    return nibbles.astype(dtype)  # sign-extends an int4
