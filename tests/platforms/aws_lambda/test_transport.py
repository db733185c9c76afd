"""Plans on functions of Lambda: answers are the whole model's, and every failure is told as what it is."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import uvloop

from mopar.bundle import Bundle, build, open_bundle
from mopar.files import to_json
from mopar.gateway.arrays import Array, from_array, to_array
from mopar.gateway.executor import Executor
from mopar.graph import load_model
from mopar.platforms.aws_lambda import calls
from mopar.platforms.aws_lambda.credentials import OwnCredentials
from mopar.platforms.base import CallTiming
from mopar.platforms.codes import EncodedValue
from mopar.platforms.endpoints import AwsPlace, Endpoints, read_endpoints
from mopar.platforms.remote import LambdaElsewhere
from mopar.runtime.aws_lambda import invoked
from mopar.runtime.aws_lambda.wire import MOST_BODY_BYTES
from mopar.types import (
    DeploymentError,
    MoparError,
    OutOfMemoryError,
    OverloadedError,
    PlatformError,
    RequestError,
    TensorValue,
    UsageError,
)
from tests.bundle.plans import built, chain, some_cuts
from tests.bundle.test_lowering import halves_of, rows
from tests.graph.composed import assert_equal, run_file
from tests.models import materialise, sample_inputs
from tests.platforms.aws_lambda.lambda_service import Answers, Handlers, Reply, fault, lambda_service, refusal
from tests.platforms.aws_lambda.s3 import BUCKET, S3, serving
from tests.platforms.local.test_http_codecs import compressible, planned

PATIENCE_S = 20.0
REGION = "eu-central-1"
MODEL, FEEDS = "skip", sample_inputs("skip")
PLACE = AwsPlace(REGION, bucket=BUCKET, prefix="mopar/demo/tensors/")


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ACCESS_KEY_ID", "testing"), ("SECRET_ACCESS_KEY", "the-secret")):
        monkeypatch.setenv(f"AWS_{name}", value)
    for name in ("PROFILE", "SESSION_TOKEN", "ENDPOINT_URL", "ENDPOINT_URL_S3", "ENDPOINT_URL_LAMBDA"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with serving() as made:
        yield made


@pytest.fixture(scope="module")
def bundle(reference: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return built(reference(MODEL), tmp_path_factory.mktemp("bundle") / "b", 3)


@pytest.fixture(scope="module")
def single(reference: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return built(reference(MODEL), tmp_path_factory.mktemp("single") / "b", 1)


def elsewhere(bundle: Bundle, place: AwsPlace, places: Mapping[str, str] | None = None) -> LambdaElsewhere:
    names = [function.name for function in bundle.manifest.plan.functions]
    given = places or {name: f"demo-{name}:live" for name in names}
    functions: dict[str, tuple[str, ...]] = {name: (given[name],) for name in names}
    return LambdaElsewhere(Endpoints(functions, "aws-lambda", 5.0, concurrency=10, aws=place), bundle.manifest)


@contextlib.asynccontextmanager
async def executing(bundle: Bundle, deployment: LambdaElsewhere) -> AsyncIterator[tuple[Executor, list[CallTiming]]]:
    timings: list[CallTiming] = []
    async with deployment:
        executor = Executor(bundle.manifest, deployment.transport(), observe=timings.append)
        try:
            yield executor, timings
        finally:
            await executor.close()


async def asked(executor: Executor, feeds: Mapping[str, Array], deadline_s: float = PATIENCE_S) -> dict[str, Array]:
    values = {name: from_array(name, array) for name, array in feeds.items()}
    async with executor.infer(values, None, deadline_s) as answer:
        return {value.name: to_array(value).copy() for value in answer.outputs}


def assert_model(got: Mapping[str, Array], reference: Callable[[str], Path]) -> None:
    assert_equal(got, run_file(reference(MODEL), FEEDS), MODEL)


def answered(
    bundle: Bundle,
    answers: Answers,
    monkeypatch: pytest.MonkeyPatch,
    place: AwsPlace,
    feeds: Mapping[str, Array] = FEEDS,
) -> dict[str, Array]:
    """The answers to several requests at once, which are the same."""

    async def main() -> dict[str, Array]:
        async with executing(bundle, elsewhere(bundle, place)) as (executor, _):
            done = await asyncio.gather(*(asked(executor, feeds) for _ in range(3)), return_exceptions=True)
        found = [outcome for outcome in done if not isinstance(outcome, BaseException)]
        for outcome in done:
            if isinstance(outcome, BaseException):
                raise outcome
        first, *others = found
        for other in others:
            for name, array in first.items():
                np.testing.assert_array_equal(array, other[name])
        return first

    with lambda_service(answers) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", url)
        return uvloop.run(main())


def test_a_plan_answers_as_the_whole_model(
    bundle: Bundle, tmp_path: Path, reference: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signatures are those of Amazon's own signer, or the service would refuse them."""
    handlers = Handlers(bundle, tmp_path)
    got = answered(bundle, handlers, monkeypatch, AwsPlace(REGION))
    assert_model(got, reference)
    sources = [item for _, message in handlers.messages for item in message.get("inputs", [])]
    assert sources
    assert all("data" in item for item in sources)


@pytest.mark.parametrize("stored", [False, True])
def test_encoded_tensors_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, *, stored: bool
) -> None:
    """Also where no message holds them: in the bucket they are as they were."""
    model = load_model(materialise("conv_chain"))
    plan = planned(chain(model, some_cuts(model, 2)), "blosc2:zstd-shuffle")
    build(model, replace(plan, codecs={}), tmp_path / "plain")
    build(model, plan, tmp_path / "encoded")
    feeds = compressible("conv_chain")
    plain, coded = (open_bundle(tmp_path / kind) for kind in ("plain", "encoded"))
    want = answered(plain, Handlers(plain, tmp_path / "handlers"), monkeypatch, AwsPlace(REGION), feeds)
    if stored:
        request.getfixturevalue("storing")
    handlers = Handlers(coded, tmp_path / "others")
    got = answered(coded, handlers, monkeypatch, PLACE if stored else AwsPlace(REGION), feeds)
    for name, array in want.items():
        np.testing.assert_array_equal(got[name], array)
    sources = [item for _, message in handlers.messages for item in message.get("inputs", [])]
    assert any("encoding" in item for item in sources) is not stored
    assert any("object" in item for item in sources) is stored


@pytest.fixture
def storing(s3: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    """A bucket that every tensor has to pass through."""
    for name, value in s3.environment.items():
        if name != "AWS_SECRET_ACCESS_KEY":
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(calls, "message_bytes", _too_many_bytes)
    monkeypatch.setattr(invoked, "MOST_BODY_BYTES", 200)
    return s3


def _too_many_bytes(_graph: str, inputs: Sequence[object], *_: object) -> int:
    """Of any message with a tensor in it."""
    return MOST_BODY_BYTES + 1 if any(isinstance(value, TensorValue | EncodedValue) for value in inputs) else 0


def left_in(s3: S3) -> bytes:
    status, listed = s3.request("GET", f"/{BUCKET}?prefix=mopar/")
    assert status == 200
    return listed


def test_tensors_that_no_message_holds_pass_through_the_bucket(
    bundle: Bundle, reference: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storing: S3
) -> None:
    """What a function made is read by the next one; nothing is left when the request has ended."""
    handlers = Handlers(bundle, tmp_path)
    assert_model(answered(bundle, handlers, monkeypatch, PLACE), reference)
    sources = [item for _, message in handlers.messages for item in message.get("inputs", [])]
    assert sources
    assert all("object" in item for item in sources)
    assert b"<Key>" not in left_in(storing)


def test_regions_of_stored_tensors_are_ranges_of_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storing: S3
) -> None:
    model = load_model(rows(tmp_path / "rows.onnx"))
    build(model, halves_of(model, "middle", 0, (1, 3, 2)), tmp_path / "b")
    cut = open_bundle(tmp_path / "b")
    feeds = {"x": np.random.default_rng(0).standard_normal((6, 16)).astype(np.float32)}
    handlers = Handlers(cut, tmp_path / "functions")
    got = answered(cut, handlers, monkeypatch, PLACE, feeds)
    assert_equal(got, run_file(tmp_path / "rows.onnx", feeds), "rows")
    parts = [message["inputs"][0] for name, message in handlers.messages if name == "f0" and message]
    assert {(part["offset"], part["bytes"]) for part in parts if "object" in part} >= {(64, 192), (256, 128)}
    assert len({part["object"] for part in parts if "object" in part}) == 3, "one put for each of three requests"
    assert b"<Key>" not in left_in(storing)


def test_emulators_and_functions_do_not_go_together(single: Bundle, bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="do not go together"):
        elsewhere(bundle, AwsPlace(REGION), {"f0": "http://127.0.0.1:1", "f1": "demo", "f2": "demo"})
    for place in ("", ":live", "a:b:c", "arn:aws:lambda:eu-central-1:1:layer:x"):
        with pytest.raises(UsageError, match="no function of Lambda"):
            elsewhere(single, AwsPlace(REGION), {"f0": place})


def test_functions_are_called_by_arn_and_version(
    single: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = f"arn:aws:lambda:{REGION}:123456789012:function:demo-f0"
    seen = []
    handlers = Handlers(single, tmp_path)

    def answers(name: str, qualifier: str, body: bytes) -> Reply:
        seen.append((name, qualifier))
        return handlers("demo-f0", qualifier, body)

    async def main() -> None:
        async with executing(single, elsewhere(single, AwsPlace(REGION), {"f0": f"{arn}:7"})) as (executor, _):
            await asked(executor, FEEDS)

    with lambda_service(answers) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", url)
        uvloop.run(main())
    assert set(seen) == {(arn, "7")}


KILLED = "RequestId: 8f2e0c1a-0000-4000-8000-8f2e0c1a0000 Error: Runtime exited with error: signal: killed"
FAILURES: dict[str, tuple[Reply, type[MoparError], str, int]] = {
    "killed": (fault("Runtime.ExitError", KILLED), OutOfMemoryError, "ran out of memory and was killed", 1),
    "memory": (fault("Runtime.OutOfMemory", "too much"), OutOfMemoryError, "ran out of memory", 1),
    "died": (
        fault("Runtime.ExitError", "Runtime exited with error: exit status 1"),
        DeploymentError,
        r"died \(Runtime.ExitError: .*exit status 1\), twice",
        2,
    ),
    "timed out": (fault("", "2026-01-01 Task timed out after 3.00 seconds"), DeploymentError, "after 3.00 seconds", 1),
    "refused": ((200, {}, b'{"error":{"kind":"refused","message":"no"}}'), RequestError, "function f0: no", 1),
    "no memory": ((200, {}, b'{"error":{"kind":"memory","message":"m"}}'), OutOfMemoryError, "function f0: m", 1),
    "failed": ((200, {}, b'{"error":{"kind":"failed","message":"f"}}'), DeploymentError, "function f0: f", 1),
    "no answer": ((200, {}, b"[]"), DeploymentError, "its answer cannot be used", 1),
    "another output": ((200, {}, b'{"outputs":[]}'), DeploymentError, "it gives the outputs", 1),
    "not there": (refusal(404, "ResourceNotFoundException"), DeploymentError, "lambda knows nothing of it", 1),
    "no right": (refusal(403, "AccessDeniedException"), DeploymentError, "you may not lambda:InvokeFunction", 1),
    "wrong key": (refusal(403, "UnrecognizedClientException"), DeploymentError, "does not take the credentials", 1),
    "expired": (refusal(403, "ExpiredTokenException"), DeploymentError, "have expired", 1),
    "too large": (refusal(413, "RequestEntityTooLargeException"), RequestError, "no message of this size", 1),
    "broken": (refusal(500, "ServiceException"), DeploymentError, "Lambda answered 500 ServiceException.*twice", 2),
    "throttled": (refusal(429, "TooManyRequestsException"), OverloadedError, "until the deadline: TooMany", -1),
}


@pytest.mark.parametrize("case", FAILURES)
def test_every_failure_is_one_line(case: str, single: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    reply, kind, says, count = FAILURES[case]
    seen: list[bytes] = []

    def answers(_name: str, _qualifier: str, body: bytes) -> Reply:
        seen.append(body)
        return reply

    async def main() -> None:
        executor = Executor(single.manifest, elsewhere(single, AwsPlace(REGION)).transport())
        try:
            await asked(executor, FEEDS, 0.3 if count < 0 else PATIENCE_S)
        finally:
            await executor.close()

    with lambda_service(answers) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", url)
        with pytest.raises(kind, match=says) as caught:
            uvloop.run(main())
    assert "\n" not in str(caught.value)
    assert "the-secret" not in str(caught.value)
    assert len(seen) == count or (count < 0 and len(seen) > 2)


@pytest.mark.parametrize(
    "first", [refusal(429, "TooManyRequestsException"), fault("Runtime.ExitError", "exit status 1")]
)
def test_a_call_that_was_throttled_or_lost_is_tried_again(
    first: Reply, single: Bundle, tmp_path: Path, reference: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers, count = Handlers(single, tmp_path), 0

    def answers(name: str, qualifier: str, body: bytes) -> Reply:
        nonlocal count
        count += 1
        return first if count == 1 else handlers(name, qualifier, body)

    async def main() -> dict[str, Array]:
        executor = Executor(single.manifest, elsewhere(single, AwsPlace(REGION)).transport())
        try:
            return await asked(executor, FEEDS)
        finally:
            await executor.close()

    with lambda_service(answers) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", url)
        assert_model(uvloop.run(main()), reference)
    assert count == 2


def test_expired_credentials_are_read_again(
    single: Bundle, tmp_path: Path, reference: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers, file = Handlers(single, tmp_path / "f"), tmp_path / "credentials"
    written = "[team]\naws_access_key_id = testing\naws_secret_access_key = the-secret\naws_session_token = {}\n"
    file.write_text(written.format("old"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    seen = []

    def answers(name: str, qualifier: str, body: bytes) -> Reply:
        seen.append(file.read_text())
        if len(seen) == 1:
            file.write_text(written.format("new"))
            return refusal(403, "ExpiredTokenException")
        return handlers(name, qualifier, body)

    async def main() -> dict[str, Array]:
        deployment = elsewhere(single, AwsPlace(REGION, profile="team"))
        async with executing(single, deployment) as (executor, _):
            return await asked(executor, FEEDS)

    with lambda_service(answers) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", url)
        assert_model(uvloop.run(main()), reference)
    assert len(seen) == 3


def test_without_credentials_it_is_said_what_would_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    for text in (None, "[default]\nregion = x\n", "[default\naws_secret_access_key = the-secret"):
        if text is not None:
            (tmp_path / "none").write_text(text)
        with pytest.raises(
            DeploymentError, match=r"no AWS credentials of profile default in .*none: set \$AWS"
        ) as caught:
            OwnCredentials("").current()
        assert "the-secret" not in str(caught.value)


def test_an_entry_function_is_lambdas(single: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOPAR_FUNCTIONS", raising=False)
    path = tmp_path / "functions.json"
    path.write_bytes(to_json(Endpoints({"entry": ("http://127.0.0.1:1",)}, "http", entry="entry")))
    with pytest.raises(UsageError, match=r"functions.json: entry entry is for aws-lambda, and the transport is 'http'"):
        read_endpoints(path, single.manifest)


def test_a_function_that_never_answers_is_named(single: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with elsewhere(single, AwsPlace(REGION)):
            pass

    with lambda_service(lambda *_: fault("ConfigError", "no such file")) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", url)
        with pytest.raises(PlatformError, match=r"function f0 at demo-f0:live died \(ConfigError: no such file\)"):
            uvloop.run(main())
