"""Requests and responses, encoded and decoded: a round trip for every type, shape and form."""

import contextlib
import json
import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mopar.gateway.arrays import from_array, to_array
from mopar.gateway.http.decode import decode
from mopar.gateway.http.encode import encode
from mopar.gateway.http.jsondata import JSON_TYPES
from mopar.runtime.strings import pack_strings
from mopar.types import DTYPES, RequestError, TensorSpec, TensorValue, element_count, oip_of

SHAPES = st.lists(st.integers(0, 3), max_size=4).map(tuple)


@st.composite
def values(draw: st.DrawFn, name: str) -> TensorValue:
    dtype = draw(st.sampled_from(DTYPES))
    shape: tuple[int, ...] = draw(SHAPES)
    count = element_count(shape)
    if dtype.name == "string":
        text = draw(st.lists(st.text(), min_size=count, max_size=count))
        return TensorValue(name, "string", shape, pack_strings(item.encode() for item in text))
    raw = draw(st.binary(min_size=dtype.nbytes(count), max_size=dtype.nbytes(count)))
    if dtype.name == "bool":
        raw = bytes(byte & 1 for byte in raw)
    return TensorValue(name, dtype.name, shape, raw)


def _nested(flat: list[Any], shape: tuple[int, ...]) -> list[Any]:
    if len(shape) < 2:
        return flat
    step = element_count(shape[1:])
    return [_nested(flat[row * step : (row + 1) * step], shape[1:]) for row in range(shape[0])]


def _request(tensors: list[TensorValue], forms: list[str]) -> tuple[bytes, int]:
    entries, binary = [], b""
    for value, form in zip(tensors, forms, strict=True):
        word = oip_of(next(dtype for dtype in DTYPES if dtype.name == value.dtype))
        entry: dict[str, Any] = {"name": value.name, "datatype": word, "shape": value.shape}
        if form == "binary":
            entry["parameters"] = {"binary_data_size": len(value.data)}
            binary += value.data
        else:
            flat = to_array(value).ravel().tolist()
            entry["data"] = _nested(flat, value.shape) if form == "nested" else flat
        entries.append(entry)
    head = json.dumps({"inputs": entries, "parameters": {"binary_data_output": True}}).encode()
    return head + binary, len(head)


def _same(got: TensorValue, want: TensorValue) -> bool:
    """Equal bit for bit, except for the payload of a NaN, which JSON cannot represent."""
    if (got.name, got.dtype, got.shape) != (want.name, want.dtype, want.shape):
        return False
    if bytes(got.data) == bytes(want.data):
        return True
    return want.dtype.startswith("float") and np.array_equal(to_array(got), to_array(want), equal_nan=True)


@given(st.data())
def test_requests_decode_to_what_was_sent(data: st.DataObject) -> None:
    tensors = [data.draw(values(name)) for name in data.draw(st.sampled_from([["a"], ["a", "b"], ["b", "é", "a"]]))]
    forms = [
        data.draw(st.sampled_from(["binary", "flat", "nested"] if value.dtype in JSON_TYPES else ["binary"]))
        for value in tensors
    ]
    body, length = _request(tensors, forms)
    specs = [TensorSpec(value.name, value.dtype, None) for value in tensors]
    got = decode(memoryview(body), str(length), specs, specs).inputs
    assert list(got) == [value.name for value in tensors]
    for value, form in zip(tensors, forms, strict=True):
        assert _same(got[value.name], value)
        assert form != "binary" or bytes(got[value.name].data) == bytes(value.data), "binary data, bit for bit"


@given(st.data())
def test_answers_read_back_as_what_the_model_gave(data: st.DataObject) -> None:
    tensors = [data.draw(values(name)) for name in ("p", "q")]
    binary = {value.name for value in tensors if value.dtype not in JSON_TYPES or data.draw(st.booleans())}
    requested = [{"name": value.name, "parameters": {"binary_data": value.name in binary}} for value in tensors]
    specs = [TensorSpec(value.name, value.dtype, None) for value in tensors]
    inference = decode(memoryview(json.dumps({"inputs": [], "outputs": requested}).encode()), None, [], specs)
    response = encode("m", inference, tensors)
    body = b"".join(response.chunks)
    at = int(response.headers.get("inference-header-content-length", len(body)))
    for value, entry in zip(tensors, json.loads(body[:at])["outputs"], strict=True):
        assert (entry["name"], tuple(entry["shape"])) == (value.name, value.shape)
        if value.name in binary:
            size = entry["parameters"]["binary_data_size"]
            assert body[at : at + size] == value.data
            at += size
        else:
            array = np.array(entry["data"], to_array(value).dtype).reshape(value.shape)
            assert _same(from_array(value.name, array), value)
    assert at == len(body)


@given(st.lists(st.floats(width=32)))
def test_json_keeps_every_float32(numbers: list[float]) -> None:
    body = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [len(numbers)], "data": numbers}]})
    spec = [TensorSpec("x", "float32", ("n",))]
    inference = decode(memoryview(body.encode()), None, spec, spec)
    reply = json.loads(b"".join(encode("m", inference, list(inference.inputs.values())).chunks))
    back = reply["outputs"][0]["data"]
    assert len(back) == len(numbers)
    for got, want in zip(back, numbers, strict=True):
        assert got == want or (math.isnan(got) and math.isnan(want))


@given(st.binary(max_size=200), st.none() | st.text(max_size=5))
def test_no_bytes_make_the_decoder_fail_in_any_other_way(body: bytes, header: str | None) -> None:
    spec = [TensorSpec("x", "float32", ("n",))]
    # Two hundred random bytes that match the model would be a valid request: not of interest here.
    with contextlib.suppress(RequestError):
        decode(memoryview(body), header, spec, spec)
