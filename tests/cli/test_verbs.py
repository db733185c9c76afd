"""The verbs one after the other, on a model that is small but whole."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mopar.bundle import compare_all
from mopar.evaluation.whole import WholeModel
from mopar.gateway.client import Client
from tests.cli.harness import Done, mopar


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder, and a cache in it, for all tests of this module."""
    return tmp_path_factory.mktemp("verbs")


@pytest.fixture(scope="module")
def model(reference: Callable[[str], Path]) -> Path:
    return reference("towers")


@pytest.fixture(scope="module")
def profile(work: Path, model: Path) -> Done:
    return mopar("profile", model, "-o", work / "profile.json", "--json", cache=work / "cache")


@pytest.fixture(scope="module")
def bundle(work: Path, model: Path, profile: Done) -> Path:
    """Two functions, cut in the middle."""
    assert profile.code == 0, profile.stderr
    positions = [cut["index"] for cut in profile.document["cut_positions"]]
    cut = str(positions[len(positions) // 2])
    plan = mopar("plan", work / "profile.json", "--cuts", cut, "-o", work / "plan.json", cache=work / "cache")
    assert plan.code == 0, plan.stderr
    built = mopar("build", model, work / "plan.json", "-o", work / "bundle", cache=work / "cache")
    assert built.code == 0, built.stderr
    return work / "bundle"


@pytest.fixture(scope="module")
def request_file(work: Path) -> Path:
    rng = np.random.default_rng(5)
    values = {"user": rng.standard_normal((1, 16)), "item": rng.standard_normal((1, 24))}
    np.savez(work / "in.npz", allow_pickle=False, **{name: value.astype(np.float32) for name, value in values.items()})
    return work / "in.npz"


def test_profile_keeps_its_contract(profile: Done) -> None:
    document = profile.document
    assert {"sha256", "parameters", "weight_bytes"} <= document["model"].keys()
    layer_keys = {"index", "nodes", "operators", "latency_ms", "weight_bytes", "activation_bytes"}
    assert all(layer_keys <= layer.keys() for layer in document["layers"])
    assert all({"index", "tensors", "bytes"} <= cut.keys() for cut in document["cut_positions"])
    assert document["whole"]["latency_ms"] > 0
    assert document["whole"]["memory_mib"] > 0
    assert "patterns" in document


def test_plan_keeps_its_contract(work: Path, profile: Done) -> None:
    assert profile.code == 0
    done = mopar("plan", work / "profile.json", "-o", work / "other.json", "--json", cache=work / "cache")
    assert done.code == 0, done.stderr
    document = done.document
    assert document["verdict"] in {"split", "unsplit"}
    figures = {"latency_ms", "gb_s_per_request", "cost_per_million_usd", "efficiency"}
    assert figures <= document["predicted"].keys()
    assert figures <= document["unsplit"].keys()
    layers = [layer for function in document["functions"] for layer in function["layers"]]
    assert sorted(layers) == list(range(len(profile.document["layers"])))
    assert all({"name", "memory_mib", "cpu"} <= function.keys() for function in document["functions"])


def test_verify_finds_the_bundle_equal(work: Path, model: Path, bundle: Path) -> None:
    done = mopar("verify", bundle, "--against", model, "--json", cache=work / "cache")
    assert done.code == 0, done.stderr
    document = done.document
    assert document["equal"] is True
    assert document["max_rel_error"] <= document["tolerance"]
    assert {"predicted", "measured"} == document["latency_ms"].keys()
    keys = {"name", "predicted_mib", "measured_mib", "limit_mib", "predicted_ms", "measured_ms", "survived"}
    assert len(document["functions"]) == 2
    assert all(keys <= function.keys() and function["survived"] for function in document["functions"])


def test_verify_tells_another_model_apart(work: Path, bundle: Path, model: Path, tmp_path: Path) -> None:
    import onnx
    from onnx import numpy_helper

    changed = onnx.load(model)
    weight = next(tensor for tensor in changed.graph.initializer if len(tensor.dims) == 2)
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 1.01, weight.name))
    onnx.save(changed, tmp_path / "changed.onnx")
    done = mopar(
        "verify", bundle, "--against", tmp_path / "changed.onnx", "--no-memory", "--json", cache=work / "cache"
    )
    assert done.code == 1
    assert done.document["equal"] is False


def test_infer_from_a_bundle_answers_as_the_model(work: Path, model: Path, bundle: Path, request_file: Path) -> None:
    done = mopar("infer", bundle, "--inputs", request_file, "-o", work / "out.npz", cache=work / "cache")
    assert done.code == 0, done.stderr
    _assert_equal(work / "out.npz", request_file, model)


@contextlib.contextmanager
def _served(bundle: Path, work: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "mopar", "serve", str(bundle), "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(work / "cache")},
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        yield process, json.loads("".join(lines))["url"]
    finally:
        process.kill()
        process.communicate(timeout=30)


def test_serve_answers_and_ends_in_order(work: Path, model: Path, bundle: Path, request_file: Path) -> None:
    with _served(bundle, work) as (process, url):
        done = mopar("infer", url, "--inputs", request_file, "-o", work / "served.npz", cache=work / "cache")
        assert done.code == 0, done.stderr
        _assert_equal(work / "served.npz", request_file, model)
        with Client(url) as client:
            client.infer(dict(np.load(request_file)))
            assert set(client.timings) == {"f0", "f1"}
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def _assert_equal(answers: Path, request: Path, model: Path) -> None:
    got, want = dict(np.load(answers)), WholeModel(model).answer(dict(np.load(request)))
    assert all(difference.equal for difference in compare_all(got, want))
