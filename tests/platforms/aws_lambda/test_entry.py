"""A function that runs a plan: answers are the whole model's, calls run at once, every failure names its function."""

import asyncio
import base64
import contextlib
import json
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from mopar.bundle import Bundle, build, open_bundle
from mopar.files import read_json, to_json
from mopar.gateway.arrays import Array, from_array
from mopar.gateway.client import infer
from mopar.graph import load_model
from mopar.pipeline.entry import Entry
from mopar.platforms.aws_lambda.calls import LambdaCalls
from mopar.platforms.aws_lambda.entry import entry_package
from mopar.platforms.aws_lambda.options import LambdaOptions
from mopar.platforms.aws_lambda.passed_codes import with_passed_codes
from mopar.platforms.aws_lambda.platform import PLATFORM
from mopar.platforms.codes import lossless
from mopar.platforms.endpoints import AwsPlace, Endpoints
from mopar.runtime.aws_lambda import invoked
from mopar.runtime.aws_lambda.api import Invocation
from mopar.runtime.config import read_config
from mopar.types import Manifest, MoparError, dtype_of_name, oip_of
from tests.bundle.plans import built, chain, some_cuts
from tests.graph.composed import assert_equal, run_file
from tests.models import materialise, sample_inputs
from tests.platforms.aws_lambda.deployed import quiet
from tests.platforms.aws_lambda.lambda_service import Answers, Handlers, Reply, _Sent, fault, lambda_service
from tests.platforms.aws_lambda.s3 import BUCKET, S3, serving
from tests.platforms.local.leftovers import nothing_left
from tests.platforms.local.test_http_codecs import compressible, planned
from tests.runtime.running import save

__all__ = ["nothing_left"]

PATIENCE_S = 20.0
MODEL, FEEDS = "towers", sample_inputs("towers")


@pytest.fixture(scope="module")
def bundle(reference: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Four functions, of which two can run at once."""
    return built(reference(MODEL), tmp_path_factory.mktemp("bundle") / "b", 4)


@pytest.fixture(scope="module")
def unpacked(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("entry")
    package = entry_package(bundle, "x86_64", 512, folder, emulated=True)
    assert package.unpacked_bytes < 4 << 20, "tiny beside a function of the plan"
    with zipfile.ZipFile(package.path) as archive:
        archive.extractall(folder)
    return folder


@contextlib.contextmanager
def entering(
    bundle: Bundle, unpacked: Path, answers: Answers, monkeypatch: pytest.MonkeyPatch, place: AwsPlace | None = None
) -> Iterator[Callable[[Mapping[str, Any]], dict[str, Any]]]:
    """What answers a message to the entry function, whose calls ``answers`` answers."""
    for name, value in (("ACCESS_KEY_ID", "testing"), ("SECRET_ACCESS_KEY", "the-secret"), ("REGION", "eu-central-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    for name in ("PROFILE", "SESSION_TOKEN", "ENDPOINT_URL"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    names = [function.name for function in bundle.manifest.plan.functions]
    told = Endpoints({name: (f"demo-{name}:7",) for name in names}, "aws-lambda", aws=place or AwsPlace())
    monkeypatch.setenv("MOPAR_FUNCTIONS", to_json(told).decode())
    api = _Sent()
    manifest = read_json(unpacked / "manifest.json", Manifest, error=MoparError)

    def ask(message: Mapping[str, Any]) -> dict[str, Any]:
        entry.serve(Invocation("r1", bytearray(json.dumps(message).encode()), 0))  # nothing says when it has to end
        found: dict[str, Any] = json.loads(api.bodies.pop())
        return found

    with lambda_service(answers) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", url)
        entry = Entry(api, read_config(str(unpacked / "function.json")), manifest)
        try:
            yield ask
        finally:
            entry._runner.run(_closed(entry))
            entry._runner.close()


async def _closed(entry: Entry) -> None:
    await entry._transport.close()
    await asyncio.sleep(0)  # connections are told in the next turn


def message_of(feeds: Mapping[str, Array]) -> dict[str, Any]:
    return {"inputs": [described(name, array) | {"data": encoded(array)} for name, array in feeds.items()]}


def described(name: str, array: Array) -> dict[str, Any]:
    value = from_array(name, array)
    return {"name": name, "datatype": oip_of(dtype_of_name(value.dtype)), "shape": list(array.shape)}


def encoded(array: Array) -> str:
    return base64.b64encode(array.tobytes()).decode()


def test_it_answers_as_the_model_does_with_calls_at_once(
    bundle: Bundle,
    unpacked: Path,
    tmp_path: Path,
    reference: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first call of each tower waits for the other's, and both are of the version that the entry was told."""
    firsts = threading.Barrier(2, timeout=PATIENCE_S)
    handlers = Handlers(bundle, tmp_path)
    waiting = {call.function for call in bundle.manifest.calls if not sources_of(call)}
    assert len(waiting) == 2

    def answers(name: str, qualifier: str, body: bytes) -> Reply:
        assert qualifier == "7"
        if name.removeprefix("demo-") in waiting:
            firsts.wait()
        return handlers(name, qualifier, body)

    with entering(bundle, unpacked, answers, monkeypatch) as ask:
        for _ in range(2):
            found = ask(message_of(FEEDS))
            assert set(found) == {"outputs", "held_ns", "compute_ns"}
            got = {
                item["name"]: np.frombuffer(base64.b64decode(item["data"]), np.float32).reshape(item["shape"])
                for item in found["outputs"]
            }
            assert_equal(got, run_file(reference(MODEL), FEEDS), MODEL)


def sources_of(call: Any) -> list[str]:
    """The calls that a call reads from."""
    return [source.producer for item in call.inputs for source in item.sources if source.producer != "request"]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with serving() as made:
        yield made


def test_tensors_pass_by_name_where_no_message_holds_them(
    bundle: Bundle,
    unpacked: Path,
    tmp_path: Path,
    reference: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    s3: S3,
) -> None:
    """Given as objects and answered as objects: the entry reads none of them, and those alone stay."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.environment["AWS_ENDPOINT_URL_S3"])
    monkeypatch.setattr(invoked, "MOST_BODY_BYTES", 20)
    handlers, prefix = Handlers(bundle, tmp_path), "mopar/demo/tensors/"
    inputs = []
    for name, array in FEEDS.items():
        s3.put(f"{prefix}{name}", array.tobytes())
        inputs.append(described(name, array) | {"object": f"{prefix}{name}"})
    with entering(bundle, unpacked, handlers, monkeypatch, AwsPlace(bucket=BUCKET, prefix=prefix)) as ask:
        (output,) = ask({"inputs": inputs})["outputs"]
        assert output["object"].startswith(prefix)
        got = np.frombuffer(s3.get(output["object"]), np.float32).reshape(output["shape"])
        assert_equal({output["name"]: got}, run_file(reference(MODEL), FEEDS), MODEL)
        assert s3.keys() == {output["object"], *(item["object"] for item in inputs)}
        sources = [item for _, message in handlers.messages for item in message["inputs"]]
        assert all("object" in item for item in sources)
        # An output that came in a message, and does not fit into the answer's.
        monkeypatch.setattr(invoked, "MOST_BODY_BYTES", 6_291_556)
        monkeypatch.setattr("mopar.pipeline.entry.MOST_BODY_BYTES", 1)
        (output,) = ask({"inputs": inputs})["outputs"]
        assert_equal(
            {output["name"]: np.frombuffer(s3.get(output["object"]), np.float32).reshape(output["shape"])},
            run_file(reference(MODEL), FEEDS),
            MODEL,
        )


@pytest.mark.parametrize("bucket", ["", BUCKET])
def test_it_passes_codes_on_and_needs_no_library(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: S3
) -> None:
    """With a bucket, and messages that hold nothing, tensors pass through it as they are."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.environment["AWS_ENDPOINT_URL_S3"])
    model, feeds = load_model(materialise("conv_chain")), compressible("conv_chain")
    plan = chain(model, some_cuts(model, 2))
    build(model, planned(plan, "blosc2:lz4-shuffle"), tmp_path / "bundle")
    if bucket:
        for name in ("limits", "calls"):
            monkeypatch.setattr(f"mopar.platforms.aws_lambda.{name}.MOST_BODY_BYTES", 4096)
        monkeypatch.setattr(LambdaCalls, "most_bytes", lambda *_: None)
    options = LambdaOptions(orchestration="entry", bucket=bucket)
    coded = with_passed_codes(open_bundle(tmp_path / "bundle"), options)
    handlers = Handlers(coded, tmp_path / "functions")
    entry_package(coded, "x86_64", 512, tmp_path / "package", emulated=True)
    with zipfile.ZipFile(tmp_path / "package" / "entry.zip") as archive:
        archive.extractall(tmp_path / "package")
    lossless.cache_clear()
    monkeypatch.setattr("mopar.platforms.codes._PACKAGE", "no_such_package")
    place = AwsPlace(bucket=bucket, prefix="mopar/coded/") if bucket else AwsPlace()
    with entering(coded, tmp_path / "package", handlers, monkeypatch, place) as ask:
        (output,) = ask(message_of(feeds))["outputs"]
    got = np.frombuffer(base64.b64decode(output["data"]), np.float32).reshape(output["shape"])
    assert_equal({output["name"]: got}, run_file(materialise("conv_chain"), feeds), "conv_chain")
    first, *others = [item for _, message in handlers.messages for item in message["inputs"]]
    how = [{("encoding" in item, "object" in item) for item in items} for items in ([first], others)]
    assert how == ([{(False, True)}, {(False, True)}] if bucket else [{(False, False)}, {(True, False)}])
    left = s3.keys()
    assert not [key for key in left if key.startswith("mopar/coded/")], "what passed between functions is deleted"


def test_a_range_of_an_object_is_no_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: S3) -> None:
    """Who reads the answer would read the object from its beginning."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.environment["AWS_ENDPOINT_URL_S3"])
    ends = [("y", "float32", [2]), ("x", "float32", [2])]
    model = load_model(save(tmp_path / "m.onnx", [helper.make_node("Add", ["x", "x"], ["y"])], ends[1:], ends))
    build(model, chain(model, []), tmp_path / "bundle")
    bundle = open_bundle(tmp_path / "bundle")
    with zipfile.ZipFile(entry_package(bundle, "x86_64", 512, tmp_path / "e", emulated=True).path) as archive:
        archive.extractall(tmp_path / "e")
    handlers, key, data = Handlers(bundle, tmp_path / "f"), "mopar/demo/x", np.arange(2, dtype=np.float32)
    s3.put(key, data.tobytes())
    whole = described("x", data) | {"object": key}
    with entering(bundle, tmp_path / "e", handlers, monkeypatch, AwsPlace(bucket=BUCKET, prefix="mopar/d/")) as ask:
        y, x = ask({"inputs": [whole]})["outputs"]
        assert (np.frombuffer(base64.b64decode(y["data"]), np.float32).tolist(), x["object"]) == ([0, 2], key)
        error = ask({"inputs": [whole | {"offset": 4, "bytes": 8}]})["error"]
    assert (error["kind"], "input x is an output too" in error["message"]) == ("refused", True)


def test_what_fails_is_named(bundle: Bundle, unpacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handlers = Handlers(bundle, tmp_path)
    failing: dict[str, Reply] = {}

    def answers(name: str, qualifier: str, body: bytes) -> Reply:
        return failing.get(name) or handlers(name, qualifier, body)

    with entering(bundle, unpacked, answers, monkeypatch) as ask:
        failing["demo-f3"] = fault("Sandbox.Timedout", "Task timed out after 3.00 seconds")
        error = ask(message_of(FEEDS))["error"]
        assert error["kind"] == "failed"
        assert "function f3 at demo-f3:7" in error["message"]
        failing.clear()
        name, array = next(iter(FEEDS.items()))
        for message, says in (
            ({}, "the graph takes each of"),
            (message_of(FEEDS | {name: array[:, :1]}), f"input {name} has shape"),
            ({"inputs": [described(*item) | {"object": "k"} for item in FEEDS.items()]}, f"input {name} is an object"),
        ):
            error = ask(message)["error"]
            assert error["kind"] == "refused"
            assert says in error["message"]
        assert "outputs" in ask(message_of(FEEDS)), "it answers the next request"
        failing["demo-f3"] = fault("Runtime.ExitError", "RequestId: 0 Error: Runtime exited with error: signal: killed")
        error = ask(message_of(FEEDS))["error"]
        assert error["kind"] == "memory", error
        assert "function f3" in error["message"]


@pytest.mark.aws
def test_the_packages_answer_in_emulators(
    bundle: Bundle,
    tmp_path: Path,
    reference: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    nothing_left: None,  # noqa: ARG001 - checked last
) -> None:
    """A gateway calls the entry alone, and tells what the calls of both cost."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    options = replace(LambdaOptions(emulate=True), orchestration="entry")
    deployed = PLATFORM.deploy(bundle, "entered", options, quiet)
    try:
        assert deployed.gateway is not None
        for _ in range(2):
            got = infer(deployed.gateway.url, FEEDS, timeout_s=PATIENCE_S)
            assert_equal(got, run_file(reference(MODEL), FEEDS), MODEL)
        until = time.monotonic() + PATIENCE_S
        functions = PLATFORM.status("entered", options).functions
        assert [function.name for function in functions] == ["f0", "f1", "f2", "f3", "entry"]
        billed = [function.billed for function in functions]
        while any(bill is None or bill.calls < 2 for bill in billed):
            assert time.monotonic() < until, billed
            infer(deployed.gateway.url, FEEDS, timeout_s=PATIENCE_S)
            billed = [function.billed for function in PLATFORM.status("entered", options).functions]
        *others, entry = [bill.duration_ms for bill in billed if bill is not None]
        assert entry > max(others), "it waits for all"
    finally:
        PLATFORM.remove("entered", options, quiet)
