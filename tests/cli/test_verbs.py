"""The verbs one after the other, on a small but complete model."""

import signal
from pathlib import Path

import numpy as np
import pytest

from mopar.bundle import compare_all
from mopar.gateway.client import Client
from mopar.pipeline.reference import ReferenceModel
from tests.cli.harness import Pipeline, mopar, served


@pytest.mark.models
def test_import_names_what_it_made_and_profile_remembers_the_shapes(made: Pipeline, tmp_path: Path) -> None:
    command: list[str | Path] = [
        "import",
        "torch.nn:Identity",
        "--input",
        "input=1..3x1..4..6",
        "-o",
        tmp_path / "same.onnx",
    ]
    done = mopar(*command, cache=made.cache)
    assert done.code == 0, done.stderr
    words = done.stdout.split()
    assert {"input_0", "(1..3)", "input_1", "(1..6)", "float32", "output"} <= set(words)
    assert words[-4:] == ["next:", "mopar", "profile", str(tmp_path / "same.onnx")]
    document = mopar(*command, "--json", cache=made.cache).document
    shape = ["input_0", "input_1"]
    assert document["inputs"] == [{"name": "input", "dtype": "float32", "shape": shape}]
    assert document["outputs"] == [{"name": "output", "dtype": "float32", "shape": shape}]
    assert document["ranges"] == {"input_0": [1, 3], "input_1": [1, 6]}
    predicted = mopar(
        "profile", tmp_path / "same.onnx", "--predict", "-o", tmp_path / "p.json", "--json", cache=made.cache
    )
    assert predicted.code == 0, predicted.stderr
    document = predicted.document
    assert [item["shape"] for item in document["recipes"]] == [[2, 4]]
    assert [(item["smallest"], item["largest"]) for item in document["ranges"]] == [([1, 1], [3, 6])]


def test_profile_keeps_its_contract(made: Pipeline) -> None:
    document = made.profiled.document
    assert {"sha256", "parameters", "weight_bytes"} <= document["model"].keys()
    layer_keys = {"index", "nodes", "operators", "latency_ms", "weight_bytes", "activation_bytes"}
    assert all(layer_keys <= layer.keys() for layer in document["layers"])
    assert all({"index", "tensors", "bytes"} <= cut.keys() for cut in document["cut_positions"])
    assert document["whole"]["latency_ms"] > 0
    assert document["whole"]["memory_mib"] > 0
    assert "patterns" in document


def test_plan_keeps_its_contract(made: Pipeline, tmp_path: Path) -> None:
    done = mopar("plan", made.profile, "-o", tmp_path / "other.json", "--json", cache=made.cache)
    assert done.code == 0, done.stderr
    document = done.document
    assert document["verdict"] in {"split", "unsplit"}
    figures = {"latency_ms", "gb_s_per_request", "cost_per_million_usd", "efficiency"}
    assert figures <= document["predicted"].keys()
    assert figures <= document["unsplit"].keys()
    layers = [layer for function in document["functions"] for layer in function["layers"]]
    assert sorted(layers) == list(range(len(made.profiled.document["layers"])))
    assert all({"name", "memory_mib", "cpu"} <= function.keys() for function in document["functions"])


def test_verify_finds_the_bundle_equal(made: Pipeline) -> None:
    done = mopar("verify", made.bundle, "--against", made.model, "--json", cache=made.cache)
    assert done.code == 0, done.stderr
    document = done.document
    assert document["equal"] is True
    assert document["max_rel_error"] <= document["tolerance"]
    assert {"predicted", "measured"} == document["latency_ms"].keys()
    keys = {"name", "predicted_mib", "measured_mib", "limit_mib", "predicted_ms", "measured_ms", "survived"}
    assert len(document["functions"]) == 2
    assert all(keys <= function.keys() and function["survived"] for function in document["functions"])


def test_verify_tells_another_model_apart(made: Pipeline, tmp_path: Path) -> None:
    import onnx
    from onnx import numpy_helper

    changed = onnx.load(made.model)
    weight = next(tensor for tensor in changed.graph.initializer if len(tensor.dims) == 2)
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 1.01, weight.name))
    onnx.save(changed, tmp_path / "changed.onnx")
    done = mopar(
        "verify", made.bundle, "--against", tmp_path / "changed.onnx", "--no-memory", "--json", cache=made.cache
    )
    assert done.code == 1
    assert done.document["equal"] is False


def test_infer_from_a_bundle_answers_as_the_model(made: Pipeline, tmp_path: Path) -> None:
    done = mopar("infer", made.bundle, "--inputs", made.inputs, "-o", tmp_path / "out.npz", cache=made.cache)
    assert done.code == 0, done.stderr
    _assert_equal(tmp_path / "out.npz", made.inputs, made.model)


def test_serve_answers_and_ends_in_order(made: Pipeline, tmp_path: Path) -> None:
    with served(made.bundle, made.cache) as (process, url):
        done = mopar("infer", url, "--inputs", made.inputs, "-o", tmp_path / "served.npz", cache=made.cache)
        assert done.code == 0, done.stderr
        _assert_equal(tmp_path / "served.npz", made.inputs, made.model)
        with Client(url) as client:
            client.infer(dict(np.load(made.inputs)))
            assert set(client.timings) == {"f0", "f1"}
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def _assert_equal(answers: Path, request: Path, model: Path) -> None:
    got, want = dict(np.load(answers)), ReferenceModel(model).infer(dict(np.load(request)))
    assert all(difference.equal for difference in compare_all(got, want))
