"""Encoded tensors through the messages between gateway and function: identical, or refused in one line."""

import functools
import json
import math
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mopar.platforms.codes import EncodedValue, check_intact, codec_library, decoded, encoded
from mopar.platforms.http.connection import Reply
from mopar.platforms.http.messages import read_outputs, request_body
from mopar.platforms.outputs import MalformedError
from mopar.runtime.encoded import UNUSABLE
from mopar.runtime.lossless import LEAST_BYTES, Lossless
from mopar.runtime.request import RefusedError
from mopar.runtime.strings import pack_strings
from mopar.runtime.variants import VARIANTS
from mopar.types import DTYPES, TensorSpec, TensorValue, dtype_of_name, element_count
from tests.platforms.local import graphs
from tests.runtime.http.doors import Client, Door, config, head, opened
from tests.runtime.http.identity import Identity, Served

TEXTS = sorted(VARIANTS)
FEW, MANY = settings(max_examples=300), settings(max_examples=10_000)
PATTERNS = ("zeros", "nans", "ramp", "noise", "sparse", "repeated")
NANS = struct.pack("<4I", 0x7FC00001, 0xFFC12345, 0x7F800001, 0xFF800000)
"""Quiet and signalling NaN with payloads, and an infinity."""


@functools.cache
def served(dtype: str) -> Served:
    return Served(Identity(dtype))


@st.composite
def tensors(draw: st.DrawFn) -> TensorValue:
    """Any type of ours, 0 to 5 dimensions, empty ones too, with values that compress well, badly, or not at all."""
    dtype = draw(st.sampled_from(DTYPES)).name
    shape = tuple(draw(st.lists(st.sampled_from((0, 1, 2, 3, 7, 16, 65)), max_size=5)))
    while element_count(shape) > 1 << 18:
        shape = shape[1:]
    pattern, seed = draw(st.sampled_from(PATTERNS)), draw(st.integers(0, 1 << 30))
    if dtype == "string":
        return (
            TensorValue("x", dtype, shape, _strings(min(element_count(shape), 3000), seed))
            if (element_count(shape) <= 3000)
            else TensorValue("x", dtype, (300,), _strings(300, seed))
        )
    data = _bytes(pattern, dtype_of_name(dtype).nbytes(element_count(shape)), seed)
    if dtype == "bool":
        data = bytes(byte & 1 for byte in data)
    return TensorValue("x", dtype, shape, data)


def _bytes(pattern: str, count: int, seed: int) -> bytes:
    noise = random.Random(seed).randbytes(count)
    sparse = np.frombuffer(noise, np.uint8) * (np.frombuffer(noise[::-1], np.uint8) > 200)
    made = {
        "zeros": bytes(count),
        "nans": NANS * (count // 16 + 1),
        "ramp": bytes(range(256)) * (count // 256 + 1),
        "noise": noise,
        "sparse": sparse.astype(np.uint8).tobytes(),
        "repeated": noise[:12] * (count // 12 + 1),
    }
    return made[pattern][:count]


def _strings(count: int, seed: int) -> bytes:
    drawn = random.Random(seed)
    return pack_strings(drawn.choice([b"", b"a", b"some words ", b"\xff\x00" * 9]) for _ in range(count))


def through(value: TensorValue, text: str) -> TensorValue:
    """A tensor encoded by the gateway, decoded by a function, encoded by it, and decoded by the gateway."""
    code = encoded(value, text, value.nbytes)
    reply = served(value.dtype).reply(request_body([code or value], {"y": text}))
    (output,) = read_outputs(reply, [TensorSpec("y", value.dtype, value.shape)], [value.shape], {"y": text})
    if isinstance(output, EncodedValue):
        assert len(output.data) < value.nbytes
        return decoded(output)
    return output


@FEW
@given(value=tensors(), text=st.sampled_from(TEXTS))
def test_tensors_pass_unchanged(value: TensorValue, text: str) -> None:
    got = through(value, text)
    assert (got.dtype, got.shape, bytes(got.data)) == (value.dtype, value.shape, bytes(value.data))


@pytest.mark.slow
@MANY
@given(value=tensors(), text=st.sampled_from(TEXTS))
def test_ten_thousand_tensors_pass_unchanged(value: TensorValue, text: str) -> None:
    got = through(value, text)
    assert (got.dtype, got.shape, bytes(got.data)) == (value.dtype, value.shape, bytes(value.data))


@pytest.mark.parametrize("text", TEXTS)
def test_both_directions_are_encoded_where_that_makes_them_smaller(text: str) -> None:
    """Else the property above would hold without a codec."""
    sparse = TensorValue("x", "float32", (64, 64), _bytes("sparse", 1 << 14, 1))
    code = encoded(sparse, text, sparse.nbytes)
    assert code is not None
    reply = served("float32").reply(request_body([code], {"y": text}))
    (output,) = read_outputs(reply, [TensorSpec("y", "float32", (64, 64))], [(64, 64)], {"y": text})
    assert isinstance(output, EncodedValue)
    assert (output.text, output.crc32, bytes(output.data)) == (text, code.crc32, bytes(code.data))
    noise = TensorValue("x", "float32", (64, 64), _bytes("noise", 1 << 14, 1))
    assert encoded(noise, text, noise.nbytes) is None
    assert isinstance(through(noise, text), TensorValue)
    few = TensorValue("x", "uint8", (LEAST_BYTES - 1,), bytes(LEAST_BYTES - 1))
    assert encoded(few, text, few.nbytes) is None


class _Watched(Lossless):
    """Calls ``before`` when something is decoded."""

    def __init__(self, before: Callable[[], None]) -> None:
        super().__init__(str(codec_library()))
        self._before = before

    def decode(self, text: str, item_bytes: int, source: int, code_bytes: int, target: int, nbytes: int) -> None:
        self._before()
        super().decode(text, item_bytes, source, code_bytes, target, nbytes)


def test_an_input_is_decoded_while_those_after_it_are_on_their_way() -> None:
    """The first and the third of four are encoded; what is unread then is what comes after them."""
    values = [
        TensorValue(name, "float32", (64, 64), _bytes("sparse", 1 << 14, seed)) for seed, name in enumerate("abcd")
    ]
    codes = [encoded(values[place], TEXTS[0], 1 << 14) for place in (0, 2)]
    first, third = (code for code in codes if code is not None)
    unread: list[int] = []
    function = Identity("float32", _Watched(lambda: unread.append(len(several.wire.body))), "abcd")
    several = Served(function)
    several.reply(request_body([first, values[1], third, values[3]]))
    assert unread == [(1 << 14) + len(third.data) + (1 << 14), 1 << 14]
    assert function.received == [bytes(value.data) for value in values[1:]]


def test_a_function_without_the_library_answers_as_it_is_and_takes_no_codes() -> None:
    value = TensorValue("x", "float32", (64, 64), bytes(1 << 14))
    plain = Served(Identity("float32", None))
    reply = plain.reply(request_body([value], {"y": TEXTS[0]}))
    (output,) = read_outputs(reply, [TensorSpec("y", "float32", (64, 64))], [(64, 64)], {"y": TEXTS[0]})
    assert isinstance(output, TensorValue)
    code = encoded(value, TEXTS[0], value.nbytes)
    assert code is not None
    with pytest.raises(RefusedError, match="input x: this function takes no encoded tensors: deploy it") as caught:
        plain.reply(request_body([code]))
    assert caught.value.status == UNUSABLE


def test_a_code_that_is_larger_than_planned_is_not_sent_and_takes_no_more_memory() -> None:
    """The function's memory has room for a quarter; noise would be written as it is before the library gives up."""
    function = Identity("float32")
    function.graphs["g"].outputs[0].most_code_ratio = 0.25
    bounded = Served(function)
    for pattern, encodes in (("noise", False), ("zeros", True)):
        value = TensorValue("x", "float32", (512, 512), _bytes(pattern, 1 << 20, 0))
        reply = bounded.reply(request_body([value], {"y": TEXTS[0]}))
        (output,) = read_outputs(reply, [TensorSpec("y", "float32", (512, 512))], [(512, 512)], {"y": TEXTS[0]})
        assert isinstance(output, EncodedValue) == encodes
        assert len(bounded._inferences._codes._memory) <= (1 << 18) + 4096


# --- damaged and hostile codes ---


def _value(seed: int) -> TensorValue:
    return TensorValue("x", "float32", (160, 1024), _bytes("sparse", 160 << 12, seed))


def _code(text: str, seed: int) -> EncodedValue:
    code = encoded(_value(seed), text, _value(seed).nbytes)
    assert code is not None
    return code


def hostile(seed: int) -> tuple[str, EncodedValue]:
    """What is wrong, and a code with that; those of which the checksum fits are made by a sender with intent."""
    drawn = random.Random(seed)
    code = _code(TEXTS[seed % len(TEXTS)], seed % 3)
    data = bytearray(code.data)
    kind = drawn.choice(list(_DAMAGES))
    return kind, _DAMAGES[kind](code, data, drawn)


def _with(code: EncodedValue, data: bytes | bytearray, *, fits: bool = True) -> EncodedValue:
    return replace(code, data=memoryview(bytes(data)), crc32=crc32(data) if fits else code.crc32)


def _flipped(code: EncodedValue, data: bytearray, drawn: random.Random) -> EncodedValue:
    data[drawn.randrange(len(data))] ^= 1 << drawn.randrange(8)
    return _with(code, data, fits=False)


def _header(code: EncodedValue, data: bytearray, drawn: random.Random) -> EncodedValue:
    """Other sizes, filters, compressors or flags; not the bit for how blocks are split, which any code may have."""
    place = drawn.choice([0, 2, *range(3, 8), *range(12, 32)])
    data[place] ^= drawn.choice((0x01, 0x02, 0x40, 0x80))
    return _with(code, data)


def _block(code: EncodedValue, data: bytearray, drawn: random.Random) -> EncodedValue:
    """A block's size of more than this library makes."""
    data[8:12] = struct.pack("<i", drawn.choice((0, -1, 1 << 18, 1 << 30, -(1 << 31))))
    return _with(code, data)


def _places(code: EncodedValue, data: bytearray, drawn: random.Random) -> EncodedValue:
    """A block that begins elsewhere: before the code, inside its header, or behind its end."""
    block = 32 + 4 * drawn.randrange(math.ceil(code.nbytes / (128 << 10)))
    data[block : block + 4] = struct.pack("<i", drawn.choice((-1, 0, 5, len(data), len(data) - 1, 1 << 30)))
    return _with(code, data)


def _streams(code: EncodedValue, data: bytearray, drawn: random.Random) -> EncodedValue:
    """A compressed stream that says that it is longer than the code."""
    (start,) = struct.unpack_from("<i", data, 32)
    data[start : start + 4] = struct.pack("<i", drawn.choice((len(data), 1 << 30, (1 << 31) - 1)))
    return _with(code, data)


def _filled(code: EncodedValue, data: bytearray, drawn: random.Random) -> EncodedValue:
    """Streams of noise behind a valid header and valid places."""
    start = 32 + 4 * math.ceil(code.nbytes / (128 << 10))
    data[start:] = drawn.randbytes(len(data) - start)
    return _with(code, data)


_Damage = Callable[[EncodedValue, bytearray, random.Random], EncodedValue]
_DAMAGES: dict[str, _Damage] = {
    "bit": _flipped,
    "header": _header,
    "block": _block,
    "place": _places,
    "stream": _streams,
    "noise": _filled,
    "cut off": lambda code, data, drawn: _with(code, data[: drawn.randrange(1, len(data))]),
    "longer": lambda code, data, drawn: _with(code, data + drawn.randbytes(drawn.randrange(1, 99))),
    "no code": lambda code, data, drawn: _with(code, drawn.randbytes(len(data))),
    "another tensor's": lambda code, data, drawn: replace(
        code, nbytes=code.nbytes << drawn.randrange(1, 9), data=memoryview(data)
    ),
    "not smaller": lambda code, _data, drawn: _with(code, bytes(code.nbytes + drawn.randrange(9))),
    "another codec": lambda code, data, drawn: replace(
        code, text=drawn.choice(["blosc2:", "blosc2:zlib-shuffle", "", "gzip", "\x00", "../x"]), data=memoryview(data)
    ),
    "another variant": lambda code, data, _: replace(
        code, text=TEXTS[(TEXTS.index(code.text) + 1) % len(TEXTS)], data=memoryview(data)
    ),
    "checksum": lambda code, data, drawn: replace(
        code, crc32=drawn.choice((0, 1 << 32, -1, 1 << 200)), data=memoryview(data)
    ),
    "bomb": lambda code, _data, drawn: _bomb(code, 1 << drawn.randrange(13, 19)),
}  # fmt: skip


def _bomb(code: EncodedValue, rows: int) -> EncodedValue:
    """A few bytes that are a tensor of zeros, of up to 2 GiB."""
    nbytes = min(rows * 4096, (1 << 31) - 4096)
    data = bytearray(code.data[:32])
    data[4:16] = struct.pack("<3i", nbytes, 128 << 10, 32)
    data[31] = 0x10
    return _with(replace(code, shape=(nbytes // 4096, 1024), nbytes=nbytes), data)


def refused_by_function(body: list[bytes | memoryview], says: str) -> None:
    with pytest.raises(RefusedError) as caught:
        served("float32").reply(body)
    assert caught.value.status in {400, 413, UNUSABLE}, says
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("seed", range(100))
def test_a_hostile_code_is_refused_on_both_sides(seed: int) -> None:
    kind, code = hostile(seed)
    refused_by_function(request_body([code]), kind)
    _refused_by_gateway(code)


def _refused_by_gateway(code: EncodedValue) -> None:
    """The same as a function's answer."""
    how = {"encoding": code.text, "decoded_byte_size": code.nbytes, "crc32": code.crc32}
    entry = {
        "name": "y",
        "datatype": "FP32",
        "shape": code.shape,
        "parameters": {"binary_data_size": len(code.data), **how},
    }
    text = json.dumps({"outputs": [entry]}).encode()
    reply = served("float32").reply(request_body([TensorValue("x", "float32", (), bytes(4))]))
    headers = {**reply.headers, "inference-header-content-length": str(len(text))}
    answer = replace(reply, headers=headers, body=memoryview(text + bytes(code.data)))
    with pytest.raises(MalformedError):
        _read(answer, _asked(code))


def _read(answer: Reply, text: str) -> None:
    shape = (160, 1024)
    (output,) = read_outputs(answer, [TensorSpec("y", "float32", shape)], [shape], {"y": text})
    assert isinstance(output, EncodedValue)
    check_intact(output)
    decoded(output)


def _asked(code: EncodedValue) -> str:
    """A codec that the gateway knows and asks with."""
    return code.text if code.text in VARIANTS else TEXTS[0]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("encoded")
    graph = graphs.repeat(folder / "repeat.onnx", "x", "y", "float32", (160, 1024))
    changes = {"lossless": str(codec_library()), "max_body_bytes": 4 << 20}
    with opened(config(folder, graph, {"x": "float32"}, {"y": "float32"}, **changes)) as made:
        assert made.ready() == "ready"
        yield made


def asked(door: Door, body: list[bytes | memoryview]) -> tuple[int, bytes]:
    """Status and body of an answer on a connection of its own: a refusal closes it."""
    with Client(door.port) as client:
        reply = client.ask(b"".join([head(sum(map(len, body)), len(body[0])), *body]))
        return reply.status, reply.body


def peak_mib(pid: int) -> float:
    """The most memory that a process has held since ``forget_peak``."""
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def hold_out(door: Door, count: int) -> None:
    """A function refuses hostile codes, holds no more than for valid ones meanwhile, and goes on serving."""
    for text in TEXTS:
        status, answer = asked(door, request_body([_code(text, 0)], {"y": text}))
        assert status == 200
        assert answer.endswith(bytes(_code(text, 0).data))
    forget_peak(door.process.pid)
    before = peak_mib(door.process.pid)
    for seed in range(count):
        kind, code = hostile(seed)
        status, answer = asked(door, request_body([code]))
        assert status in {400, 413, UNUSABLE}, kind
        assert "\n" not in json.loads(answer)["error"]
    assert peak_mib(door.process.pid) < before + code_mib() + 1.0
    assert asked(door, request_body([_value(0)]))[0] == 200


def code_mib() -> float:
    """Of a code that is as long as one may be: what a request holds beside its tensor."""
    return _value(0).nbytes / (1 << 20)


def test_a_process_holds_out_a_hundred(door: Door) -> None:
    hold_out(door, 100)


@pytest.mark.slow
def test_a_process_holds_out_a_thousand(door: Door) -> None:
    hold_out(door, 1000)
