"""Element types: one table for ONNX codes, numpy names and Open Inference Protocol names."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DType:
    """An element type.

    Attributes:
        name: numpy's name where there is one (``float32``), else the common one (``bfloat16``).
        code: ``onnx.TensorProto.DataType``, which is also ONNX Runtime's enumeration.
        bits: size of one element in bits; 0 for strings, whose size varies.
        oip: the Open Inference Protocol v2 datatype; empty where the protocol has none.
    """

    name: str
    code: int
    bits: int
    oip: str

    def nbytes(self, count: int) -> int:
        """Bytes of ``count`` packed elements (sub-byte types share bytes)."""
        return (count * self.bits + 7) // 8


DTYPES: tuple[DType, ...] = (
    DType("float32", 1, 32, "FP32"),
    DType("uint8", 2, 8, "UINT8"),
    DType("int8", 3, 8, "INT8"),
    DType("uint16", 4, 16, "UINT16"),
    DType("int16", 5, 16, "INT16"),
    DType("int32", 6, 32, "INT32"),
    DType("int64", 7, 64, "INT64"),
    DType("string", 8, 0, "BYTES"),
    DType("bool", 9, 8, "BOOL"),
    DType("float16", 10, 16, "FP16"),
    DType("float64", 11, 64, "FP64"),
    DType("uint32", 12, 32, "UINT32"),
    DType("uint64", 13, 64, "UINT64"),
    DType("complex64", 14, 64, ""),
    DType("complex128", 15, 128, ""),
    DType("bfloat16", 16, 16, "BF16"),
    DType("float8_e4m3fn", 17, 8, ""),
    DType("float8_e4m3fnuz", 18, 8, ""),
    DType("float8_e5m2", 19, 8, ""),
    DType("float8_e5m2fnuz", 20, 8, ""),
    DType("uint4", 21, 4, ""),
    DType("int4", 22, 4, ""),
)

_BY_NAME = {dtype.name: dtype for dtype in DTYPES}
_BY_CODE = {dtype.code: dtype for dtype in DTYPES}


def dtype_of_name(name: str) -> DType:
    """The element type called ``name``. Raises KeyError where there is none."""
    return _BY_NAME[name]


def dtype_of_code(code: int) -> DType:
    """The element type with ONNX's number ``code``. Raises KeyError where there is none."""
    return _BY_CODE[code]


def oip_of(dtype: DType) -> str:
    """The protocol's word for an element type; where it has none, our name in capitals (``INT4``)."""
    return dtype.oip or dtype.name.upper()


_BY_OIP = {oip_of(dtype): dtype for dtype in DTYPES}


def dtype_of_oip(name: str) -> DType:
    """The element type of a protocol datatype such as ``FP32``, the inverse of ``oip_of``. Raises KeyError."""
    return _BY_OIP[name]
