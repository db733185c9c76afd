"""Encoded tensors in the messages of Lambda: the same codes as over HTTP, in base64."""

import functools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from mopar.platforms.aws_lambda.messages import StorePlace, invoke_message, read_answer
from mopar.platforms.codes import EncodedValue, codec_library, decoded, encoded
from mopar.platforms.outputs import MalformedError
from mopar.types import TensorValue
from tests.runtime.aws_lambda.handled import Handled
from tests.runtime.http.test_encoded import TEXTS, hostile, tensors
from tests.runtime.running import save

COPY = helper.make_node("Identity", ["x"], ["y"])
LARGE = TensorValue("x", "float32", (2048, 1024), b"\0\0\x80\x3f" * (2048 * 1024))
"""8 MiB, of which no message of Lambda's has room."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("functions")


@functools.cache
def copying(folder: Path, dtype: str) -> Handled:
    path = save(folder / f"{dtype}.onnx", [COPY], [("x", dtype, None)], [("y", dtype, None)])
    return Handled(folder, path, {"x": dtype}, {"y": dtype}, lossless=str(codec_library()))


@given(value=tensors().filter(lambda value: value.dtype in {"float32", "int64", "bool", "string", "float16"}),
       text=st.sampled_from(TEXTS))  # fmt: skip
def test_tensors_pass_unchanged(folder: Path, value: TensorValue, text: str) -> None:
    code = encoded(value, text, value.nbytes)
    (output,) = copying(folder, value.dtype).call([code or value], encodings={"y": text}).outputs
    got = decoded(output) if isinstance(output, EncodedValue) else output
    assert isinstance(got, TensorValue)
    assert (got.dtype, got.shape, bytes(got.data)) == (value.dtype, value.shape, bytes(value.data))


def test_a_tensor_that_no_message_holds_passes_encoded(folder: Path) -> None:
    code = encoded(LARGE, TEXTS[0], LARGE.nbytes)
    assert code is not None
    (output,) = copying(folder, "float32").call([code], encodings={"y": TEXTS[0]}).outputs
    assert isinstance(output, EncodedValue)
    assert decoded(output).data == LARGE.data
    kind, why = copying(folder, "float32").error(invoke_message("g0", [code]))
    assert kind == "refused"
    assert "output y has 8388608 bytes" in why


@pytest.mark.parametrize("seed", range(40))
def test_hostile_codes_are_refused(folder: Path, seed: int) -> None:
    _, code = hostile(seed)
    kind, why = copying(folder, "float32").error(invoke_message("g0", [code]))
    assert kind in {"refused", "failed"}
    assert "\n" not in why


def test_a_damaged_code_is_no_fault_of_who_asked_for_the_inference(folder: Path) -> None:
    code = encoded(replace(LARGE, shape=(1024,), data=LARGE.data[:4096]), TEXTS[0], 4096)
    assert code is not None
    message = invoke_message("g0", [replace(code, crc32=code.crc32 ^ 1)])
    kind, why = copying(folder, "float32").error(message)
    assert kind == "failed"
    assert "its code is damaged" in why


WRONG: dict[str, tuple[Callable[[dict[str, object]], object], str]] = {
    "an object": (lambda item: item.pop("data") and item.update(object="k"), "is an object, which is never encoded"),
    "no size": (lambda item: item.pop("decoded_byte_size"), "needs the numbers decoded_byte_size and crc32"),
    "no checksum": (lambda item: item.update(crc32="1"), "needs the numbers decoded_byte_size and crc32"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_a_message_may_not_say(folder: Path, case: str) -> None:
    change, says = WRONG[case]
    code = encoded(replace(LARGE, shape=(1024,), data=LARGE.data[:4096]), TEXTS[0], 4096)
    assert code is not None
    document = json.loads(invoke_message("g0", [code], StorePlace("b", "p/")))
    change(document["inputs"][0])
    assert says in copying(folder, "float32").error(json.dumps(document).encode())[1]


@pytest.mark.parametrize("encodings", [7, {"y": "gzip"}, {"y": 1}])
def test_an_output_has_a_codec_that_is_known(folder: Path, encodings: object) -> None:
    plain = replace(LARGE, shape=(1,), data=LARGE.data[:4])
    document = json.loads(invoke_message("g0", [plain])) | {"encodings": encodings}
    assert "encod" in copying(folder, "float32").error(json.dumps(document).encode())[1]


def test_an_answer_with_a_codec_that_was_not_asked_for_is_malformed(folder: Path) -> None:
    code = encoded(replace(LARGE, shape=(1024,), data=LARGE.data[:4096]), TEXTS[0], 4096)
    assert code is not None
    handled = copying(folder, "float32")
    sent = handled.sent(invoke_message("g0", [code], None, {"y": TEXTS[1]}))
    with pytest.raises(MalformedError, match="was asked for with nothing"):
        _read(handled, sent)


def _read(handled: Handled, body: bytes) -> None:
    read_answer("f0", body, handled._outputs, [None])
