"""Verification finds errors in a bundle: wrong outputs, or a function killed at its limit."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from mopar.bundle import build, open_bundle
from mopar.graph import load_model
from mopar.pipeline.reference import ReferenceModel
from mopar.pipeline.verify import verify
from mopar.types import BundleError, Network, Plan
from mopar.types.reports import Verification
from tests.bundle.plans import chain, some_cuts
from tests.models import sample_inputs

ROUNDS = 3


def verified(path: Path, out: Path, against: Path, change: Callable[[Plan], Plan] = lambda plan: plan) -> Verification:
    """Verify the bundle of a model in two functions against a model."""
    model = load_model(path)
    build(model, change(chain(model, some_cuts(model, 1))), out)
    requests = [sample_inputs(path.stem, seed) for seed in range(2)]
    return verify(open_bundle(out), ReferenceModel(against), requests, measure_memory=False, rounds=ROUNDS)


@pytest.mark.parametrize("name", ["multi_output", "unknown_size", "half", "if_capture", "symbolic"])
def test_sound_bundles_pass(name: str, reference: Callable[[str], Path], tmp_path: Path) -> None:
    found = verified(reference(name), tmp_path / "b", reference(name))
    assert found.passed
    assert found.inputs == 2
    assert [function.survived for function in found.functions] == [True, True]
    assert all(function.measured_ms is not None for function in found.functions)


def test_another_models_answers_are_not_equal(reference: Callable[[str], Path], tmp_path: Path) -> None:
    path, other = reference("mlp"), tmp_path / "other.onnx"
    changed = onnx.load(path)
    weight = next(tensor for tensor in changed.graph.initializer if len(tensor.dims) == 2)
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.01), weight.name))
    onnx.save(changed, other)
    found = verified(path, tmp_path / "b", other)
    assert not found.equal
    assert not found.passed
    assert found.max_rel_error is not None
    assert found.max_rel_error > found.tolerance


@pytest.mark.cgroup
def test_a_function_that_its_limit_kills_is_named(reference: Callable[[str], Path], tmp_path: Path) -> None:
    def starved(plan: Plan) -> Plan:
        first, second = plan.functions
        return dataclasses.replace(plan, functions=(first, dataclasses.replace(second, memory_mib=6)))

    found = verified(reference("mlp"), tmp_path / "b", reference("mlp"), starved)
    assert found.equal
    assert not found.passed
    assert [function.survived for function in found.functions] == [True, False]
    assert found.functions[1].exit_reason == "out of memory at 6 MiB"
    assert found.latency_ms.measured is None


def starved_everywhere(plan: Plan) -> Plan:
    return dataclasses.replace(
        plan, functions=tuple(dataclasses.replace(function, memory_mib=1) for function in plan.functions)
    )


def test_without_cgroups_nothing_is_said_of_survival(
    reference: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit of 1 MiB, which nothing survives, and which cannot be set."""
    monkeypatch.setattr("mopar.limits.detect._detect", lambda _root: "nobody may write them")
    found = verified(reference("mlp"), tmp_path / "b", reference("mlp"), starved_everywhere)
    assert [function.survived for function in found.functions] == [None, None]
    assert found.passed
    assert found.notes[0].startswith("functions ran without limits, so whether they survive theirs is not known")
    assert found.notes[0].endswith(": nobody may write them")


def test_a_plan_without_a_prediction_is_refused(reference: Callable[[str], Path], tmp_path: Path) -> None:
    path = reference("mlp")
    model = load_model(path)
    build(model, chain(model), tmp_path / "b")
    bundle = open_bundle(tmp_path / "b")
    plan = bundle.manifest.plan
    silent = dataclasses.replace(plan, predicted=dataclasses.replace(plan.predicted, functions=()))
    bundle = dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, plan=silent))
    with pytest.raises(BundleError, match="predicts nothing of f0: build the bundle again"):
        verify(bundle, ReferenceModel(path), [sample_inputs("mlp")], measure_memory=False, rounds=ROUNDS)


RTT_MS = 40.0


def behind(platform: str, network: Network | None) -> Callable[[Plan], Plan]:
    """As a plan for functions of a platform behind a network, which a request crosses twice for each of two calls."""
    return lambda plan: dataclasses.replace(
        plan,
        platform=platform,
        network=network,
        predicted=dataclasses.replace(plan.predicted, latency_ms=2 * RTT_MS),
    )


def test_time_behind_a_network_is_measured_behind_it(reference: Callable[[str], Path], tmp_path: Path) -> None:
    """Latency has its round trips; functions are not held for those, but receive bodies over HTTP."""
    path = reference("mlp")
    found = verified(path, tmp_path / "b", path, behind("container-http", Network(rtt_ms=RTT_MS)))
    assert found.passed
    assert found.latency_ms.measured is not None
    assert found.latency_ms.measured >= 2 * RTT_MS
    assert all(function.measured_ms is not None for function in found.functions)
    assert any("over HTTP, behind an emulated network (40 ms round trip)" in note for note in found.notes)
    here = verified(path, tmp_path / "here", path, behind("container-http", None))
    assert here.latency_ms.measured is not None
    assert here.latency_ms.measured < RTT_MS


def test_time_of_calls_that_are_not_made_here_is_not_compared(reference: Callable[[str], Path], tmp_path: Path) -> None:
    path = reference("mlp")
    found = verified(path, tmp_path / "b", path, behind("aws-lambda", Network(100.0)))
    assert found.passed
    assert found.latency_ms.measured is None
    assert [function.measured_ms for function in found.functions] == [None, None]
    (note,) = (note for note in found.notes if "ms" in note or "time" in note)
    assert note.startswith("time is not compared: it is predicted for calls of aws-lambda behind a network")
    frames = verified(path, tmp_path / "frames", path, behind("aws-lambda", None))
    assert frames.latency_ms.measured is not None
