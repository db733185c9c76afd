"""JSON of any size: decoding in pieces gives the same result, in bounded memory, and others are served meanwhile."""

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mopar.gateway.http import jsonscan
from mopar.gateway.http.decode import decode
from mopar.gateway.http.jsondata import JSON_TYPES, from_json_data, parse_json
from mopar.gateway.http.jsonpieces import from_json_span
from mopar.gateway.http.jsonscan import MAX_HEAD_BYTES, split
from mopar.types import RequestError, TensorSpec, TensorValue, dtype_of_name, element_count, oip_of

_SCALARS = st.one_of(
    st.integers(-300, 300),
    st.sampled_from([2**63, -(2**63), 2**64 - 1, 10**40, 1.5, -0.0, 1e39, 1e300, float("nan"), float("-inf")]),
    st.booleans(),
    st.none(),
    st.text(max_size=4),
    st.sampled_from(['"', "\\", '\\"', "[", "],[", "é", "NaN", "\\\\"]),
    st.just({}),
)
_FITTING = {"string": st.text('\\"[],aé', max_size=5), "bool": st.booleans(), "float32": st.floats(width=32)}


def _nested(flat: list[Any], shape: tuple[int, ...]) -> list[Any]:
    if len(shape) < 2:
        return flat
    step = element_count(shape[1:])
    return [_nested(flat[row * step : (row + 1) * step], shape[1:]) for row in range(shape[0])]


@st.composite
def _tensors(draw: st.DrawFn) -> tuple[bytes, str, tuple[int, ...]]:
    """Data of the right form, and of others."""
    dtype = draw(st.sampled_from(sorted(JSON_TYPES)))
    shape: tuple[int, ...] = draw(st.lists(st.integers(0, 4), max_size=3).map(tuple))
    fitting = _FITTING.get(dtype, st.integers(0, 100))
    elements = fitting if draw(st.booleans()) else st.one_of(fitting, _SCALARS)
    size = element_count(shape) + draw(st.sampled_from([0, 0, 0, 0, 1, -1]))
    flat = draw(st.lists(elements, min_size=max(size, 0), max_size=max(size, 0)))
    data = _nested(flat, shape) if draw(st.booleans()) else flat
    text = json.dumps(data, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
    if draw(st.integers(0, 3)) == 0:  # a character missing, or one too many
        at = draw(st.integers(1, max(len(text) - 1, 1)))
        text = text[:at] + draw(st.sampled_from(["", "[", "]", ",", '"', "1", " "])) + text[at + draw(st.booleans()) :]
    return text.encode(), dtype, shape


def _outcome(decoder: Any, *arguments: Any) -> bytes | None:
    try:
        return bytes(decoder(*arguments))
    except RequestError:
        return None


@settings(max_examples=600)
@given(_tensors(), st.integers(1, 9))
def test_data_in_pieces_are_as_in_one_go(tensor: tuple[bytes, str, tuple[int, ...]], block: int) -> None:
    text, dtype, shape = tensor
    want = _outcome(lambda: from_json_data(parse_json(text), "x", dtype, shape))
    before = jsonscan.BLOCK
    jsonscan.BLOCK = block
    try:
        got = None if text[:1] != b"[" else _outcome(from_json_span, memoryview(text), "x", dtype, shape)
    finally:
        jsonscan.BLOCK = before
    assert got == want


def _request(values: list[TensorValue], extra: dict[str, Any]) -> bytes:
    entries = [
        {
            "name": value.name,
            "datatype": oip_of(dtype_of_name(value.dtype)),
            "shape": value.shape,
            "data": np.frombuffer(value.data, value.dtype).tolist(),
        }
        for value in values
    ]
    return json.dumps({**extra, "inputs": entries, "id": 'a\\"data": ['}).encode()


@settings(max_examples=50)
@given(st.integers(1, 70), st.integers(0, 2), st.booleans())
def test_large_requests_decode_as_small_ones(block: int, seed: int, nan: bool) -> None:
    random = np.random.default_rng(seed)
    numbers = random.standard_normal(40).astype(np.float32)
    if nan:
        numbers[7] = np.nan
    values = [
        TensorValue("x", "float32", (40,), numbers.tobytes()),
        TensorValue("y", "int64", (2, 3), random.integers(-(2**62), 2**62, 6).tobytes()),
    ]
    body = memoryview(_request(values, {"parameters": {"other": [1, {"data": []}]}}))
    specs = [TensorSpec(value.name, value.dtype, None) for value in values]
    want = decode(body, None, specs, specs)
    before = jsonscan.BLOCK
    jsonscan.BLOCK = block
    try:
        parts = split(body)
    finally:
        jsonscan.BLOCK = before
    assert len(parts.spans) == 2
    assert json.loads(parts.head)["id"] == want.id == 'a\\"data": ['
    for value, span in zip(values, parts.spans, strict=True):
        assert _same(from_json_span(span, value.name, value.dtype, value.shape), value)
        assert _same(want.inputs[value.name].data, value)


def _same(data: Any, value: TensorValue) -> bool:
    return np.array_equal(
        np.frombuffer(data, value.dtype), np.frombuffer(value.data, value.dtype), equal_nan=value.dtype == "float32"
    )


JUNK = {
    "unknown field": b'{"inputs":[],"junk":[%b0]}' % (b"[]," * 300000),
    "unknown fields": b'{"inputs":[]%b}' % (b',"a":1' * 100000),
    "parameters": b'{"inputs":[],"parameters":{"a":[%b0]}}' % (b"[]," * 300000),
    "tensors": b'{"inputs":[%b0]}' % (b'{"name":"","datatype":"","shape":[]},' * 30000),
    "shape": b'{"inputs":[{"name":"x","datatype":"FP32","shape":[%b0]}]}' % (b"1," * 300000),
    "name": b'{"inputs":[{"name":"%b"}]}' % (b"x" * 1000000),
    "data of no tensor": b'{"inputs":[],"junk":[{"data":[%b0]}]}' % (b"[]," * 300000),
    "data twice": b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[%b0],"data":[1]}]}' % (b"1," * 99999),
    "data of objects": b'{"inputs":[{"name":"x","datatype":"FP32","shape":[300001],"data":[%b0]}]}' % (b"{}," * 300000),
    "data of arrays": b'{"inputs":[{"name":"x","datatype":"FP32","shape":[300000,0],"data":[%b0]}]}'
    % (b"[]," * 300000),
    "data of null": b'{"inputs":[{"name":"x","datatype":"FP32","shape":[200001],"data":[%b0]}]}' % (b"null," * 200000),
    "data without end": b'{"inputs":[{"name":"x","datatype":"FP32","shape":[300000],"data":[%b' % (b"1," * 300000),
    "data deep": b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":%b' % (b"[" * 1000000),
    "vast shape": b'{"inputs":[{"name":"x","datatype":"FP32","shape":[70368744177664],"data":[%b0]}]}'
    % (b"1," * 99999),
    "blanks": b'{"inputs":[{"name":"x","datatype":"FP32","shape":[2],"data":[1,%b2]}]}' % (b" " * 3000000),
    "strings": b"[%b0]" % (b'"\\\\\\"",' * 100000),
}


@pytest.mark.parametrize("body", JUNK.values(), ids=JUNK)
def test_what_is_no_request_takes_little_memory(body: bytes) -> None:
    spec = [TensorSpec("x", "float32", None)]
    tracemalloc.start()
    try:
        with pytest.raises(RequestError) as caught:
            decode(memoryview(body), None, spec, spec)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.status in (400, 413)
    assert peak < 4 * len(body) + (4 << 20)


@pytest.mark.parametrize("nested", [False, True])
def test_a_tensor_takes_a_small_multiple_of_its_text(nested: bool) -> None:
    values = np.arange(400_000, dtype=np.float32).reshape(400, 1000) / 7
    data = values.tolist() if nested else values.ravel().tolist()
    body = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [400, 1000], "data": data}]}).encode()
    del data
    spec = [TensorSpec("x", "float32", None)]
    tracemalloc.start()
    try:
        got = decode(memoryview(body), None, spec, spec)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert bytes(got.inputs["x"].data) == values.tobytes()
    assert len(body) > MAX_HEAD_BYTES
    assert peak < 4 * len(body)
