"""The static description of a model equals what a run of it shows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mopar.bundle import build, open_bundle
from mopar.costmodel.function_memory import memory_facts
from mopar.costmodel.inference import infer
from mopar.costmodel.networks import synthetic
from mopar.costmodel.predict import predict_profile
from mopar.costmodel.samples import KernelSample, ModelSamples, Timings
from mopar.engine.packed import stored_weights
from mopar.graph import layers_of, load_model
from mopar.pipeline.calibration.corpus import subject
from mopar.pipeline.calibration.scale import scale, shipped_resources
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.profiling import RunBudget, sample_inputs
from mopar.profiling.engine_runs import scratch_directory
from mopar.profiling.measure import measure
from tests.graph.composed import run_file
from tests.models import sample_inputs as model_inputs
from tests.models import small_names
from tests.models.builder import Builder
from tests.profiling.blocked import blocked_chain

ONCE = RunBudget(seconds=0.0, min_runs=1, max_runs=1, warm_runs=0)
KINDS = [name for name, _ in zip(synthetic.names(), synthetic.RECIPES, strict=False)]


@pytest.mark.parametrize("name", KINDS)
def test_packed_weights_and_shapes_are_those_of_the_run(name: str, tmp_path: Path) -> None:
    """Every kind of calibration model: resident bytes exactly, every tensor's shape, and every kernel."""
    one = subject(synthetic.write(name, tmp_path / f"{name}.onnx"))
    with scratch_directory() as directory:
        ran = measure(one.model, one.layers, one.inputs, directory, budget=ONCE)
        stored = {weight.name: weight.resident_bytes for weight in stored_weights(ran.packed)}
    assert {weight.name: weight.resident_bytes for weight in one.described.stored} == stored
    points = one.described.inferred.points
    assert {key: point.shape for key, point in points.items()} == {key: ran.points[key].shape for key in points}
    assert "other" not in {work.work.family for work in one.described.works}
    assert all(np.isfinite(work.work.features).all() for work in one.described.works)


@pytest.mark.parametrize("name", small_names())
def test_a_predicted_profile_plans_and_builds(name: str, reference: Callable[[str], Path], tmp_path: Path) -> None:
    model = load_model(reference(name))
    profile = predict_profile(model, shipped_resources(), inputs=model_inputs(name))
    assert profile.source == "predicted"
    assert profile.whole.latency_ms > 0
    assert profile.whole.memory_mib > profile.runtime.base_mib
    assert all(layer.latency_ms >= 0 and layer.spread_ms >= 0 for layer in profile.layers)
    plan = make_plan(profile, PlanOptions(slo_ms=None, max_functions=2))
    build(model, plan, tmp_path / "bundle")
    assert open_bundle(tmp_path / "bundle").manifest.plan == plan


def test_sizes_that_are_computed_from_sizes_are_known(tmp_path: Path) -> None:
    """Positions up to the length, and a shape that is put together, as in Transformers; ONNX infers neither."""
    g = Builder("lengths")
    x = g.input("x", ["batch", "length", 16])
    batch, length = (g.add("Shape", x, start=axis, end=axis + 1) for axis in range(2))
    g.add("Slice", g.weight(1, 64, 16), g.ints(0), g.add("Min", length, g.ints(64)), g.ints(1), output="positions")
    g.add("Add", x, "positions", output="placed")
    g.add("Reshape", "placed", g.add("Concat", batch, length, g.ints(4, 4), axis=0), output="heads")
    g.add("MatMul", g.add("Tanh", "heads"), g.weight(4, 8), output="y")
    for name, rank in {"positions": 3, "placed": 3, "heads": 4, "y": 4}.items():
        g.output(name, [f"{name}{axis}" for axis in range(rank)])
    g.save(tmp_path / "lengths.onnx")
    feeds = {"x": np.zeros((2, 7, 16), np.float32)}
    found = infer(load_model(tmp_path / "lengths.onnx"), {"x": (2, 7, 16)})
    assert found is not None
    assert found.assumed == ()
    for name, array in run_file(tmp_path / "lengths.onnx", feeds).items():
        assert found.points[name].shape == array.shape


def test_a_convolution_reads_blocks_of_the_size_that_this_cpu_has(tmp_path: Path) -> None:
    """24 channels are three blocks of 8, and two of 16 once they are padded."""
    one = subject(blocked_chain(tmp_path / "blocks.onnx", channels=24))
    families = [work.work.family for work in one.described.works if work.work.family.startswith("conv")]
    assert families == ["conv_first", "conv_direct", "conv_direct"]


def test_what_enters_or_leaves_in_blocks_is_held_twice(tmp_path: Path) -> None:
    """For the second convolution alone: tensors are in shared memory, and their blocked copies in the function."""
    one = subject(blocked_chain(tmp_path / "blocks.onnx"))
    facts = memory_facts(one.model, one.layers, one.described, 1, 2)
    tensor_mib = 32 * 16 * 16 * 4 / (1 << 20)
    assert facts.boundary_mib == 2 * tensor_mib
    assert facts.active_mib == 4 * tensor_mib


@pytest.mark.parametrize("more_of_small", [2.0, 6.0])
def test_a_machine_twice_as_slow_is_predicted_twice_as_slow(tmp_path: Path, more_of_small: float) -> None:
    """Also where the many small kernels, which hardly count, are slower still: calls and timers differ, not rates."""
    reference = shipped_resources()
    one = subject(synthetic.write("transformer-0", tmp_path / "model.onnx"))
    works = [work.work for work in one.described.works]
    times = [time.one_ms for time in reference.kernel_times(works, one.described.working_bytes)]
    small = float(np.quantile(times, 0.6))
    kernels = tuple(
        KernelSample(number, 0, work, (2.0 if time > small else more_of_small) * time, None)
        for number, (work, time) in enumerate(zip(works, times, strict=True))
    )
    slow = ModelSamples("slow", 1, one.described.working_bytes, kernels, Timings("slow", (), 1.0, None))
    scaled = scale(reference, [slow]).kernel_times(works, one.described.working_bytes)
    assert sum(time.one_ms for time in scaled) == pytest.approx(2 * sum(times), rel=0.05)


def test_a_symbolic_model_is_predicted_at_its_point(reference: Callable[[str], Path]) -> None:
    model = load_model(reference("symbolic"))
    layers = layers_of(model)
    small, large = (predict_profile(model, shipped_resources(), shapes={"x": (size, 5, 16)}) for size in (2, 2000))
    assert len(small.layers) == len(large.layers) == len(layers)
    assert small.assumed == large.assumed == ()
    assert large.whole.latency_ms > 2 * small.whole.latency_ms
    assert large.tensors[0].shape == sample_inputs(model.inputs, shapes={"x": (2000, 5, 16)})[0]["x"].shape


def test_a_size_that_depends_on_values_is_bounded_and_said(reference: Callable[[str], Path]) -> None:
    profile = predict_profile(load_model(reference("unknown_size")), shipped_resources())
    assert profile.assumed
