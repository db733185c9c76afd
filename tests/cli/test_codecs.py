"""Codecs by the command line: planned, built and verified, on a small model."""

import json
from pathlib import Path

import numpy as np
import pytest

from mopar.cli.codecs import codec_request
from mopar.files import to_json, write_whole
from mopar.measurement.codec_costs import costs_file
from mopar.pipeline.profile import predict_model
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.profiling.document import write_profile
from mopar.runtime.variants import VARIANTS
from mopar.types import Network, UsageError
from tests.cli.harness import Pipeline, mopar
from tests.models import materialise
from tests.pipeline.codecs.test_choose import COSTS


@pytest.fixture
def known_costs(made: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """What codecs cost, which takes most of a minute to measure: a plan needs some, whatever they are."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(made.cache))
    costs_file().parent.mkdir(parents=True, exist_ok=True)
    write_whole(costs_file(), to_json(COSTS))


@pytest.mark.usefixtures("known_costs")
def test_codecs_from_plan_to_verification(made: Pipeline, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    calibration = tmp_path / "calibration.npz"
    values = {"user": draw.standard_normal((8, 16)), "item": draw.standard_normal((8, 24))}
    floats = {name: value.astype(np.float32) for name, value in values.items()}
    np.savez(calibration, allow_pickle=False, **floats)
    (cut,) = (graph["start"] for graph in json.loads(made.plan.read_bytes())["graphs"][1:])
    plan, bundle = tmp_path / "plan.json", tmp_path / "bundle"
    asked = [
        "--platform",
        "container-http",
        "--bandwidth-mbit",
        "10",
        "--cuts",
        str(cut),
        "--accuracy-metric",
        "relative",
    ]
    codecs = ["--codec", "all=int8", "--calibration", str(calibration), "--model", str(made.model)]
    done = mopar("plan", made.profile, *asked, *codecs, "-o", plan, "--json", cache=made.cache)
    assert done.code == 0, done.stderr
    planned = done.document["coding"]["accuracy"]
    assert set(done.document["codecs"].values()) == {"int8"}
    assert done.document["network"] == {"bandwidth_mbit": 10.0, "rtt_ms": 0.0}
    assert planned["metric"] == "relative"
    assert 0 < planned["measured"] < 5
    built = mopar("build", made.model, plan, "-o", bundle, "--json", cache=made.cache)
    assert built.code == 0, built.stderr
    assert built.document["plan"]["coding"] == done.document["coding"]
    against: list[str | Path] = ["--against", made.model, "--no-memory", "--json"]
    verified = mopar("verify", bundle, *against, "--calibration", calibration, cache=made.cache)
    assert verified.code == 0, verified.stderr
    assert verified.document["equal"]
    assert verified.document["max_rel_error"] > verified.document["tolerance"]
    assert any("behind an emulated network (10 Mbit/s" in note for note in verified.document["notes"])
    found = verified.document["accuracy"]
    assert abs(found["measured"] - planned["measured"]) < 0.05 * planned["measured"]
    assert (found["metric"], found["budget"]) == ("relative", None)
    _tighten(bundle, planned["measured"] / 2)
    over = mopar("verify", bundle, *against, "--calibration", calibration, cache=made.cache)
    assert over.code == 1
    assert not over.document["equal"]
    (tmp_path / "plan.json.codecs.npz").unlink()
    refused = mopar("build", made.model, plan, "-o", tmp_path / "again", cache=made.cache)
    assert refused.code == 2
    assert "plan.json.codecs.npz: No such file or directory; the plan's codecs are in it" in refused.stderr


def test_training_wants_a_budget() -> None:
    with pytest.raises(UsageError, match="--train-codecs goes with --accuracy-budget"):
        codec_request(None, ["all=int8"], None, None, None, trained=True)


def _tighten(bundle: Path, budget: float) -> None:
    """Give a bundle a budget that it does not keep."""
    manifest = bundle / "manifest.json"
    document = json.loads(manifest.read_bytes())
    document["plan"]["coding"]["accuracy"]["budget"] = budget
    manifest.write_text(json.dumps(document))


def test_tensors_are_compressed_by_default_behind_a_network(made: Pipeline, tmp_path: Path) -> None:
    """The model is found beside the profile."""
    (tmp_path / "conv_chain.onnx").write_bytes(materialise("conv_chain").read_bytes())
    _, profile = predict_model(tmp_path / "conv_chain.onnx")
    write_profile(tmp_path / "profile.json", profile)
    where = ["--platform", "container-http", "--bandwidth-mbit", "10", "--uniform", "2"]
    done = mopar("plan", tmp_path / "profile.json", *where, "-o", tmp_path / "plan.json", cache=made.cache)
    assert done.code == 0, done.stderr
    plan = json.loads((tmp_path / "plan.json").read_bytes())
    assert plan["codecs"]
    assert set(plan["codecs"].values()) <= VARIANTS.keys()
    assert plan["code_ratios"].keys() == plan["codecs"].keys()
    assert plan["coding"] is None
    assert "measured on generated inputs" in done.stderr
    assert "codecs: nothing is lost" in done.stdout
    raw = make_plan(profile, PlanOptions("container-http", uniform=2, network=Network(10.0)))
    assert plan["predicted"]["latency_ms"] < raw.predicted.latency_ms
    front = mopar(
        "plan", tmp_path / "profile.json", *where[:4], "--pareto", "-o", tmp_path / "f.json", cache=made.cache
    )
    assert front.code == 0, front.stderr
    assert "tensors are sent as they are: plan without --pareto" in front.stderr


def test_without_the_model_it_is_said_what_would_do(made: Pipeline, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_bytes(made.profile.read_bytes())
    asked: list[str | Path] = ["--platform", "container-http", "--bandwidth-mbit", "10", "-o", tmp_path / "plan.json"]
    done = mopar("plan", profile, *asked, cache=made.cache, cwd=tmp_path)
    assert done.code == 0, done.stderr
    assert "name the model with --model" in done.stderr
    local = mopar("plan", profile, "-o", tmp_path / "local.json", cache=made.cache, cwd=tmp_path)
    assert "--model" not in local.stderr
    forced = mopar("plan", profile, *asked, "--codec", "all=blosc2", cache=made.cache, cwd=tmp_path)
    assert forced.code == 2
    assert "add --model MODEL.onnx" in forced.stderr
