"""Messages to functions on Lambda: whatever a client sends, the handler answers, and tensors pass unchanged."""

import base64
import functools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from mopar.platforms.aws_lambda.messages import invoke_message, read_answer
from mopar.platforms.outputs import MalformedError
from mopar.runtime.aws_lambda.base64text import Span, decode_into, decoded_bytes, encode_pieces, parse_without_long
from mopar.runtime.aws_lambda.wire import MOST_BODY_BYTES
from mopar.runtime.strings import pack_strings
from mopar.types import DTYPES, OutOfMemoryError, RequestError, TensorSpec, TensorValue, dtype_of_name
from tests.runtime.aws_lambda.handled import Handled
from tests.runtime.running import save

TYPES = [dtype.name for dtype in DTYPES if dtype.oip]
COPY = helper.make_node("Identity", ["x"], ["y"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("functions")


@functools.cache
def copying(folder: Path, dtype: str) -> Handled:
    """A function that answers with its input."""
    path = save(folder / f"{dtype}.onnx", [COPY], [("x", dtype, None)], [("y", dtype, None)])
    return Handled(folder, path, {"x": dtype}, {"y": dtype})


@functools.cache
def filling(folder: Path) -> Handled:
    """A function whose output has as many bytes as its input says."""
    value = helper.make_tensor("value", dtype_of_name("uint8").code, [1], [7])
    node = helper.make_node("ConstantOfShape", ["x"], ["y"], value=value)
    path = save(folder / "fill.onnx", [node], [("x", "int64", [1])], [("y", "uint8", None)])
    return Handled(folder, path, {"x": "int64"}, {"y": "uint8"})


def count(number: int) -> TensorValue:
    return TensorValue("x", "int64", (1,), number.to_bytes(8, "little"))


@st.composite
def tensors(draw: st.DrawFn) -> TensorValue:
    dtype = draw(st.sampled_from(TYPES))
    shape = tuple(draw(st.lists(st.sampled_from([0, 1, 2, 3, 7, 21]), max_size=3)))
    elements = 1
    for dim in shape:
        elements *= dim
    if dtype == "string":
        texts = draw(st.lists(st.binary(max_size=40), min_size=elements % 50, max_size=elements % 50))
        return TensorValue("x", dtype, (elements % 50,), pack_strings(texts))
    nbytes = dtype_of_name(dtype).nbytes(elements)
    seed = draw(st.binary(min_size=1, max_size=64))
    data = (seed * (nbytes // len(seed) + 1))[:nbytes]
    return TensorValue("x", dtype, shape, bytes(byte & 1 for byte in data) if dtype == "bool" else data)


@given(value=tensors())
def test_tensors_of_every_type_pass_unchanged(folder: Path, value: TensorValue) -> None:
    (output,) = copying(folder, value.dtype).call([value]).outputs
    assert isinstance(output, TensorValue)
    assert (output.dtype, output.shape, output.data) == (value.dtype, value.shape, value.data)


def test_an_answer_tells_its_times(folder: Path) -> None:
    answer = copying(folder, "uint8").call([TensorValue("x", "uint8", (3,), b"abc")])
    assert answer.held_ns > answer.compute_ns > 0


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8"), max_size=30)
    | st.builds(lambda n, end: "A" * n + end, st.integers(1000, 1100), st.sampled_from(["", "\\", '"', "é"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(document=JSONS, ascii_only=st.booleans())
def test_json_without_its_long_strings_is_the_same_json(document: object, ascii_only: bool) -> None:
    body = bytearray(json.dumps(document, ensure_ascii=ascii_only).encode())

    def filled(value: object) -> object:
        if isinstance(value, Span):
            return json.loads(b'"' + body[value.start : value.end] + b'"')
        if isinstance(value, list):
            return [filled(item) for item in value]
        if isinstance(value, dict):
            return {key: filled(item) for key, item in value.items()}
        return value

    assert filled(parse_without_long(body)) == document


@given(data=st.binary(max_size=200), repeat=st.sampled_from([1, 1000]))
def test_base64_is_that_of_the_library(data: bytes, repeat: int) -> None:
    """Across pieces, too."""
    data *= repeat
    text = base64.b64encode(data)
    assert b"".join(encode_pieces(data)) == text
    assert decoded_bytes(text) == len(data)
    place = bytearray(len(data))
    decode_into(text, memoryview(place))
    assert place == data


GOOD = invoke_message("g0", [TensorValue("x", "uint8", (3,), b"abc")])
LONG = base64.b64encode(bytes(1500)).decode()


def message(**changes: object) -> bytes:
    document = json.loads(GOOD)
    document["inputs"][0].update(changes)
    return json.dumps(document).encode()


def stored(**changes: object) -> bytes:
    """A message whose input is an object."""
    return message(data=None, object="k", **changes).replace(b'"graph"', b'"store":{"bucket":"b","prefix":""},"graph"')


HOSTILE = {
    "nothing": b"",
    "no JSON": b"{",
    "no object": b"[]",
    "no text": b"\xff\xfe",
    "a deep list": b"[" * 100_000,
    "a string without an end": b'{"graph":"g0',
    "a NaN in place of data": GOOD.replace(b'"YWJj"', b"NaN"),
    "a NaN before data": GOOD.replace(b'"graph"', b'"a":NaN,"graph"').replace(b'"YWJj"', f'"{LONG}"'.encode()),
    "infinity": GOOD.replace(b'"YWJj"', b"Infinity"),
    "an unknown graph": GOOD.replace(b'"g0"', b'"g1"'),
    "a long graph": GOOD.replace(b'"g0"', f'"{LONG}"'.encode()),
    "no inputs": b'{"graph":"g0"}',
    "inputs that are none": b'{"graph":"g0","inputs":[1]}',
    "an input twice": GOOD.replace(b'"inputs":[', b'"inputs":[{"name":"x","datatype":"UINT8","shape":[0],"data":""},'),
    "an unknown input": message(name="z"),
    "another type": message(datatype="FP32"),
    "no shape": message(shape="3"),
    "a negative shape": message(shape=[-3]),
    "a shape of booleans": message(shape=[True]),
    "a shape beyond memory": message(shape=[1 << 62, 1 << 62]),
    "another size": message(shape=[4]),
    "no base64": message(data="YW!j"),
    "no length of base64": message(data="YWJjZ"),
    "padding inside": message(data="YQ==YWJj", shape=[4]),
    "long padding inside": message(data="YQ==" * 20_000, shape=[20_000]),
    "neither data nor object": message(data=None),
    "data of another kind": message(data=7),
    "data and object": message(object="k"),
    "an object without a store": message(data=None, object="k"),
    "an offset of data": message(offset=0, bytes=4),
    "an offset without bytes": stored(offset=0),
    "an offset below the object": stored(offset=-1, bytes=4),
    "an offset that is no number": stored(offset=True, bytes=4),
    "a store that is none": GOOD.replace(b'"graph"', b'"store":1,"graph"'),
    "a store without a bucket": GOOD.replace(b'"graph"', b'"store":{"prefix":"p"},"graph"'),
    "a store of odd types": GOOD.replace(b'"graph"', b'"store":{"bucket":["b"],"prefix":"p"},"graph"'),
    "a negative limit": GOOD.replace(b'"graph"', b'"store":{"bucket":"b","above_bytes":-1},"graph"'),
    "much beside the data": GOOD.replace(b'"graph"', b'"more":"' + b'","'.join([b"a"] * 600_000) + b'","graph"'),
    "too long": b" " * (MOST_BODY_BYTES + 1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_request_is_refused_and_the_next_one_answered(folder: Path, name: str) -> None:
    handled = copying(folder, "uint8")
    kind, text = handled.error(HOSTILE[name])
    assert kind == "refused"
    assert 0 < len(text) < 500
    assert "outputs" in handled.raw(GOOD)


@given(at=st.integers(0, len(GOOD) - 1), put=st.binary(max_size=3), cut=st.integers(0, 4))
def test_a_damaged_message_is_answered(folder: Path, at: int, put: bytes, cut: int) -> None:
    found = copying(folder, "uint8").raw(GOOD[:at] + put + GOOD[at + cut :])
    assert "outputs" in found or found["error"]["kind"] == "refused"


def test_a_message_that_the_emulator_cut_off_is_named_as_such(folder: Path) -> None:
    body = GOOD.replace(b"YWJj", b"A" * MOST_BODY_BYTES)[:MOST_BODY_BYTES]
    assert "cut off at Lambda's limit" in copying(folder, "uint8").error(body)[1]


def test_the_largest_output_that_fits_passes_and_one_byte_more_says_what_would_do(folder: Path) -> None:
    """The limit is of the whole answer: 3 bytes of data are 4 of base64."""
    handled = filling(folder)
    beside = len(handled.sent(invoke_message("g0", [count(0)]))) + len("4718000") - len("0")
    most = (MOST_BODY_BYTES - beside) // 4 * 3
    assert MOST_BODY_BYTES - 4 < len(handled.sent(invoke_message("g0", [count(most)]))) <= MOST_BODY_BYTES
    (output,) = handled.call([count(most)]).outputs
    assert isinstance(output, TensorValue)
    assert output.data == b"\7" * most
    with pytest.raises(RequestError, match=rf"output y has {most + 1} bytes.*bucket"):
        handled.call([count(most + 1)])


def test_a_message_that_lambda_would_not_take_is_not_sent() -> None:
    value = TensorValue("x", "uint8", (5 << 20,), bytes(5 << 20))
    with pytest.raises(RequestError, match=r"x has 5242880: deploy with --bucket") as raised:
        invoke_message("g0", [value])
    assert raised.value.status == 413


def test_inputs_beyond_the_functions_memory_are_refused(folder: Path) -> None:
    path = save(folder / "small.onnx", [COPY], [("x", "uint8", None)], [("y", "uint8", None)])
    handled = Handled(folder, path, {"x": "uint8"}, {"y": "uint8"}, max_body_bytes=10)
    with pytest.raises(RequestError, match="inputs of 11 bytes are too large: the limit is 10"):
        handled.call([TensorValue("x", "uint8", (11,), bytes(11))])


def test_a_run_without_memory_is_told_as_such(folder: Path) -> None:
    with pytest.raises(OutOfMemoryError, match="function f0"):
        filling(folder).call([count(1 << 46)])


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"Task timed out after 3.00 seconds", "no answer of a function's"),
        (b'{"outputs":[]}', "gives the outputs"),
        (b'{"outputs":[{"name":"y","datatype":"UINT8","shape":[3],"data":"YWI="}]}', "has 2 bytes"),
        (b'{"outputs":[{"name":"y","datatype":"FP32","shape":[1],"data":"YWI="}]}', "is FP32"),
        (b'{"outputs":[{"name":"y","datatype":"UINT8","shape":[3]}]}', "has no data"),
    ],
)
def test_an_answer_that_does_not_fit_is_not_used(body: bytes, text: str) -> None:
    with pytest.raises(MalformedError, match=text):
        read_answer("f0", body, [TensorSpec("y", "uint8", (3,))], [None])
