"""Deployments to emulators: what calls cost, failures told as what they are, tensors through a bucket."""

import http.client
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from mopar.bundle import Bundle, build, open_bundle
from mopar.gateway.client import Client, infer
from mopar.graph import load_model
from mopar.platforms.aws_lambda.emulated import TRANSPORT
from mopar.platforms.aws_lambda.options import LambdaOptions
from mopar.platforms.aws_lambda.platform import PLATFORM
from mopar.platforms.gateways import BackgroundGateways
from mopar.types import DeploymentError
from mopar.types.deployed import Deployed
from tests.bundle.plans import built, chain
from tests.models.builder import Builder
from tests.platforms.aws_lambda.deployed import quiet
from tests.platforms.aws_lambda.s3 import BUCKET, S3, serving
from tests.platforms.aws_lambda.test_emulator import processes_of
from tests.platforms.local import graphs

pytestmark = pytest.mark.aws
OPTIONS = LambdaOptions(emulate=True)
NAME = "emulated"
PATIENCE_S = 20.0
GB_S_USD, REQUEST_USD = 0.0000166667, 0.0000002


@pytest.fixture
def deploy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Bundle, LambdaOptions], Deployed]]:
    """Deploys as a user without an account."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "PROFILE", "ENDPOINT_URL", "ENDPOINT_URL_S3"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    yield lambda bundle, options: PLATFORM.deploy(bundle, NAME, options, quiet)
    if BackgroundGateways(TRANSPORT).find(NAME) is not None:
        PLATFORM.remove(NAME, OPTIONS, quiet)


def url_of(deployed: Deployed) -> str:
    assert deployed.gateway is not None
    return deployed.gateway.url


def allocating(folder: Path, memory_mib: int) -> Bundle:
    model = load_model(graphs.allocate(folder / "allocate.onnx"))
    build(model, chain(model, (), memory_mib), folder / "b")
    return open_bundle(folder / "b")


@pytest.mark.cgroup
def test_each_call_is_billed_and_a_function_without_memory_named(
    deploy: Callable[[Bundle, LambdaOptions], Deployed], tmp_path: Path
) -> None:
    bundle = allocating(tmp_path, 400)
    deployed = deploy(bundle, OPTIONS)
    name = bundle.manifest.inputs[0].name
    billed_ms, usd = [], []
    for _ in range(2):
        header = timing_of(url_of(deployed), name)
        parts = dict(part.split(";", 1) for part in header.split(", "))
        billed_ms.append(float(parts["f0-billed"].removeprefix("dur=")))
        usd.append(float(parts["cost"].removeprefix('desc="').removesuffix(' USD"')))
        assert billed_ms[-1] >= float(parts["f0"].removeprefix("dur="))
    assert billed_ms[0] > billed_ms[1] + 20, "the first one pays for the initialisation"
    assert all(ms == math.ceil(ms) for ms in billed_ms)
    for ms, price in zip(billed_ms, usd, strict=True):
        assert price == pytest.approx(ms / 1e3 * 400 / 1024 * GB_S_USD + REQUEST_USD, abs=1e-9)
    (function,) = PLATFORM.status(NAME, OPTIONS).functions
    assert function.billed is not None
    assert (function.billed.calls, function.billed.duration_ms) == (2, sum(billed_ms))
    assert function.billed.cost_usd == pytest.approx(sum(usd), abs=2e-9)
    with pytest.raises(
        DeploymentError, match=r"function f0 ran out of memory at its limit of 400 MiB.*not tried again"
    ):
        infer(url_of(deployed), {name: np.array([1 << 27], np.int64)}, timeout_s=PATIENCE_S)
    until = time.monotonic() + PATIENCE_S
    while not PLATFORM.status(NAME, OPTIONS).ready:
        assert time.monotonic() < until, "the function is not started again"
        time.sleep(0.05)


def timing_of(url: str, name: str) -> str:
    """The ``Server-Timing`` of a request."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)
    body = f'{{"inputs":[{{"name":"{name}","datatype":"INT64","shape":[1],"data":[1024]}}]}}'
    connection.request("POST", f"{urlsplit(url).path}/infer", body)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    header = answer.headers["Server-Timing"]
    answer.read()
    connection.close()
    return header


@pytest.mark.slow
def test_a_function_that_is_killed_in_a_call_is_asked_again(
    deploy: Callable[[Bundle, LambdaOptions], Deployed], tmp_path: Path
) -> None:
    model = load_model(graphs.spin(tmp_path / "spin.onnx"))
    build(model, chain(model, (), 1769), tmp_path / "b")
    bundle = open_bundle(tmp_path / "b")
    url, found = url_of(deploy(bundle, OPTIONS)), []
    name = bundle.manifest.inputs[0].name
    count = 4_000_000

    def ask() -> None:
        found.append(infer(url, {name: np.array(count, np.int64)}, timeout_s=60.0))

    thread = threading.Thread(target=ask)
    thread.start()
    (root,) = (BackgroundGateways(TRANSPORT).files(NAME)).glob("*/f0/task")
    until = time.monotonic() + PATIENCE_S
    while not busy(processes_of(root)) and time.monotonic() < until:
        time.sleep(0.01)
    for pid in processes_of(root):
        os.kill(pid, signal.SIGKILL)
    thread.join(60.0)
    assert found
    with Client(url, timeout_s=PATIENCE_S) as client:
        client.infer({name: np.array(3, np.int64)})


def busy(pids: list[int]) -> bool:
    """Whether a process computes."""
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        before = int(fields[11])
        time.sleep(0.1)
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if int(fields[11]) - before >= 5:
            return True
    return False


@pytest.mark.slow
def test_a_call_beyond_the_time_out_is_ended(
    deploy: Callable[[Bundle, LambdaOptions], Deployed], tmp_path: Path
) -> None:
    model = load_model(graphs.spin(tmp_path / "spin.onnx"))
    build(model, chain(model, (), 1769), tmp_path / "b")
    bundle = open_bundle(tmp_path / "b")
    url, name = url_of(deploy(bundle, replace(OPTIONS, timeout_s=1))), bundle.manifest.inputs[0].name
    with pytest.raises(DeploymentError, match=r"function f0 at .*: it was ended at its time-out"):
        infer(url, {name: np.array(graphs.FOREVER, np.int64)}, timeout_s=PATIENCE_S)
    assert infer(url, {name: np.array(3, np.int64)}, timeout_s=PATIENCE_S)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    if find_spec("moto") is None:
        pytest.skip("needs moto: pip install 'moto[server]'")
    with serving() as made:
        yield made


def test_tensors_of_more_than_a_message_pass_through_a_bucket(
    deploy: Callable[[Bundle, LambdaOptions], Deployed], tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """6 MB in, between the functions and out, each of which is 8 in base64."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    g = Builder("large")
    x = g.add("Relu", g.input("x", [1500, 1000]), output="middle")
    g.add("Add", x, g.value(np.float32(1.0)), output="y")
    g.output("y", [1500, 1000])
    g.save(tmp_path / "large.onnx")
    bundle = built(tmp_path / "large.onnx", tmp_path / "b", 2)
    assert len(bundle.manifest.plan.functions) == 2
    deployed = deploy(bundle, replace(OPTIONS, bucket=BUCKET, region="us-east-1"))
    feeds = {"x": np.random.default_rng(0).standard_normal((1500, 1000)).astype(np.float32)}
    for _ in range(2):
        got = infer(url_of(deployed), feeds, timeout_s=PATIENCE_S)
        np.testing.assert_array_equal(got["y"], np.maximum(feeds["x"], 0) + np.float32(1))
    PLATFORM.remove(NAME, OPTIONS, quiet)
    assert b"<Key>" not in s3.request("GET", f"/{BUCKET}?prefix=mopar/")[1]
    with pytest.raises(Exception, match=r"function f0 is sent 8.0 MB .*--bucket"):
        deploy(bundle, OPTIONS)
