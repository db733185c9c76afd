"""The wire format as protobuf writes it, and malformed messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto

from mopar.bundle.wire import BYTES, VARINT, fields_of, signed


@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1)), st.text(), st.binary(max_size=300))
def test_fields_are_those_that_protobuf_wrote(dims: list[int], name: str, raw: bytes) -> None:
    data = TensorProto(dims=dims, name=name, raw_data=raw).SerializeToString()
    found = list(fields_of(data, 0, len(data)))
    assert [signed(value) for number, wire, value, _ in found if (number, wire) == (1, VARINT)] == dims
    texts = {number: data[start:stop] for number, wire, start, stop in found if wire == BYTES}
    assert texts == {8: name.encode(), 9: raw}


@pytest.mark.parametrize(
    "data",
    [b"\x00\x00", b"\x0a\x05abc", b"\x0a", b"\x08\x80", b"\x08" + b"\x80" * 10 + b"\x01", b"\x0b\x0c", b"\x0d\x00",
     b"\xff\xff\xff\xff\xff\x01\x00"],
    ids=["number 0", "cut short", "no size", "no value", "eleven bytes", "group", "three bytes missing", "tag"],
)  # fmt: skip
def test_what_is_no_message(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"field|number|wire"):
        list(fields_of(data, 0, len(data)))


@given(st.binary(max_size=200))
def test_any_bytes_end(data: bytes) -> None:
    """They are parsed or refused, and no bytes beyond them are read."""
    try:
        found = list(fields_of(data, 0, len(data)))
    except ValueError:
        return
    assert all(0 <= start <= stop <= len(data) for _, wire, start, stop in found if wire != VARINT)
