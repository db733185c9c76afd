"""Memory over time as the system counts it, compared with liveness analysis, for known weights and tensors."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.timeline.measured import resident_timeline
from mopar.graph import layers_of, load_model
from mopar.profiling import RunBudget, sample_inputs
from mopar.profiling.engine_runs import scratch_directory
from mopar.profiling.entries import layer_profiles
from mopar.profiling.measure import measure
from mopar.types import EngineError
from tests.models.builder import Builder

SLACK = 1 << 17
"""A page mapped along with its neighbours, small objects on the heap."""


def _convolutions(path: Path) -> None:
    """Tensors of 4, 2 and 1 MiB, then weights of 2.25 MiB each."""
    graph = Builder("convolutions")
    x = graph.input("image", (1, 64, 128, 128))
    for channels_in, channels_out, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 256, 1), (256, 256, 1)):
        x = graph.conv(x, channels_in, channels_out, stride)
    graph.add("GlobalAveragePool", x, output="y")
    graph.output("y", (1, 256, 1, 1))
    graph.save(path)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="a process is watched from another core")
def test_resident_memory_is_what_liveness_says(tmp_path: Path) -> None:
    """What a layer brings in is its weights; anonymous memory is its live tensors, the request that stays, and at most
    one buffer more that the engine keeps."""
    _convolutions(tmp_path / "convolutions.onnx")
    model = load_model(tmp_path / "convolutions.onnx")
    layers = layers_of(model)
    inputs, _ = sample_inputs(model.inputs)
    with scratch_directory() as directory:
        quick = RunBudget(seconds=0.0, min_runs=1, max_runs=1, warm_runs=0)
        measured = measure(model, layers, inputs, directory, budget=quick)
        profiles = layer_profiles(model, layers, measured)
        seen = resident_timeline(model, [layer.nodes for layer in layers], measured, inputs, directory)
    if len(seen) < len(layers) // 2:
        pytest.skip("others kept the cores: too few layers were seen")
    request = sum(value.nbytes for value in inputs.values())
    largest = max(point.bytes for point in measured.points.values())
    for index, point in seen.items():
        profile = profiles[index]
        assert point.new_file_bytes == pytest.approx(profile.weight_bytes, abs=SLACK), profile
        live = profile.activation_bytes + profile.workspace_bytes
        assert live - SLACK <= point.anonymous_bytes <= live + request + largest + SLACK, profile


@pytest.fixture
def one_layer(tmp_path: Path) -> Callable[[Path | None], object]:
    """Sample a small model, or the given file."""
    graph = Builder("one")
    graph.output(graph.conv(graph.input("image", (1, 3, 8, 8)), 3, 4), (1, 4, 8, 8))
    graph.save(tmp_path / "one.onnx")
    model = load_model(tmp_path / "one.onnx")
    layers = layers_of(model)
    inputs, _ = sample_inputs(model.inputs)
    measured = measure(model, layers, inputs, tmp_path, budget=RunBudget(0.0, 1, 1, 0))

    def watch(packed: Path | None) -> object:
        run = measured if packed is None else replace(measured, packed=packed)
        return resident_timeline(model, [layer.nodes for layer in layers], run, inputs, tmp_path)

    return watch


def test_one_core_is_too_few_and_said(
    monkeypatch: pytest.MonkeyPatch, one_layer: Callable[[Path | None], object]
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0})
    with pytest.raises(EngineError, match="two are needed"):
        one_layer(None)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="a process is watched from another core")
def test_a_process_that_fails_is_one_line(one_layer: Callable[[Path | None], object], tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    usual = os.sched_getaffinity(0)
    with pytest.raises(EngineError, match="memory over time: ") as caught:
        one_layer(broken)
    assert "\n" not in str(caught.value)
    assert os.sched_getaffinity(0) == usual
