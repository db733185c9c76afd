"""Complete profiles of small models, run by the real engine in its child process."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from mopar.engine.packed import stored_weights
from mopar.engine.prepack import pack_graph
from mopar.engine.session import optimised_form
from mopar.graph import extract, layers_of, load_model, save_model
from mopar.profiling import FunctionMemory, RunBudget, completed, entries, profile_engine, profile_request
from mopar.profiling.document import profile_from_json, profile_json
from mopar.profiling.engine_runs import run_engine
from mopar.profiling.layout import ReorderCosts
from mopar.shapes import ShapeLike
from mopar.types import (
    PACKED_OPTIONS,
    EngineError,
    EngineOptions,
    InputError,
    MemorySample,
    Profile,
    RuntimeCosts,
    TensorSpec,
)
from tests.models.builder import Builder
from tests.profiling.blocked import blocked_chain

QUICK = RunBudget(seconds=0.0, min_runs=5, max_runs=5, warm_runs=1)
COSTS = RuntimeCosts(base_mib=45.0, hop_ms=0.1, hop_billed_ms=0.05, wire_ms_per_mib=0.1, init_ms=100.0)


def _profile(path: Path, **shapes: ShapeLike) -> Profile:
    """The engine's part is measured; costs of functions and calls are fixed here."""
    model = load_model(path)
    engine = profile_engine(model, profile_request(model, shapes=shapes), budget=QUICK)
    return completed(engine, COSTS, FunctionMemory(64.0, 120.0, (MemorySample(0, len(engine.layers), 64.0),)))


def test_a_profile_holds_together_and_survives_its_json(reference: Callable[[str], Path]) -> None:
    profile = _profile(reference("conv_chain"))
    tensors = {tensor.name: tensor for tensor in profile.tensors}
    for cut in profile.cut_positions:
        assert cut.bytes == sum(tensors[name].bytes for name in cut.tensors)
        for name in cut.tensors:
            assert tensors[name].producer < cut.index <= max(tensors[name].consumers)
    weights = {weight.name: weight for weight in profile.weights}
    for layer in profile.layers:
        assert layer.weight_bytes == sum(weights[name].bytes for name in layer.weights)
    attributed = sum(layer.latency_ms for layer in profile.layers)
    assert profile.whole.latency_ms == pytest.approx(attributed + profile.whole.unattributed_ms)
    assert profile.layers[0].latency_ms > 0
    assert (profile.whole.memory_mib, profile.runtime) == (64.0, COSTS)
    assert profile.patterns is not None
    assert [point.layer for point in profile.patterns.timeline] == [layer.index for layer in profile.layers]
    assert profile_from_json(profile_json(profile), what="profile") == profile


def test_layers_are_timed_with_two_threads_where_there_are_two_cores(
    reference: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cores = sorted(os.sched_getaffinity(0))
    for own in (cores[:1], [*cores[:1], cores[0] + 1]):
        monkeypatch.setattr("mopar.profiling.measure.os.sched_getaffinity", lambda _pid, own=own: set(own))
        known = [layer.two_threads is not None for layer in _profile(reference("mlp")).layers]
        assert known == [len(own) > 1] * len(known), own


def test_a_cut_costs_what_its_slices_reorder_more_than_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "measure_reorders", lambda _core: ReorderCosts(1.0, 1.0))
    path = tmp_path / "blocks.onnx"
    blocked_chain(path)
    model = load_model(path)
    layers = layers_of(model)
    whole = _reorderings(model.ir)
    for cut in _profile(path).cut_positions:
        slices = (extract(model, 0, cut.index, layers), extract(model, cut.index, len(layers), layers))
        assert cut.overhead_ms == cut.bytes * (sum(map(_reorderings, slices)) - whole), cut


def _reorderings(model: ir.Model) -> int:
    optimised = optimised_form(model)
    assert optimised is not None
    return sum(node.op_type.startswith("Reorder") for node in optimised.graph)


@pytest.mark.parametrize("name", ["conv_chain", "mlp", "shared_weights", "lstm", "loop_capture", "external"])
def test_the_weights_share_out_the_whole_built_file(
    reference: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    """Whatever the engine renamed, packed or merged: per-layer sums must neither lose nor duplicate bytes."""
    model = load_model(reference(name))
    profile = _profile(reference(name))
    in_file = sum(weight.file_bytes for weight in profile.weights)
    source = save_model(model.ir, tmp_path / "whole.onnx")[0]
    graph, *data = pack_graph(source, tmp_path / "packed.onnx", PACKED_OPTIONS)
    # Shape constants that the engine creates itself belong to no weight.
    assert in_file == pytest.approx(sum(weight.file_bytes for weight in stored_weights(graph)), abs=512)
    assert sum(path.stat().st_size for path in data) - 4096 * 2 * len(profile.weights) <= in_file


def test_a_packed_weight_counts_instead_of_its_original(reference: Callable[[str], Path]) -> None:
    profile = _profile(reference("lstm"))
    packed = [weight for weight in profile.weights if weight.file_bytes > weight.bytes]
    assert packed
    assert all(weight.resident_bytes == weight.file_bytes - weight.bytes for weight in packed)


def test_a_gathered_table_counts_in_full_since_the_next_request_gathers_other_rows(tmp_path: Path) -> None:
    table = onnx.numpy_helper.from_array(np.ones((20_000, 64), np.float32), "table")
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Gather", ["table", "ids"], ["rows"], name="gather")],
        "embed",
        [info("ids", onnx.TensorProto.INT64, [3])],
        [info("rows", onnx.TensorProto.FLOAT, [3, 64])],
        [table],
    )
    opset = onnx.helper.make_opsetid("", 17)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), tmp_path / "embed.onnx")
    (weight,) = _profile(tmp_path / "embed.onnx").weights
    assert weight.bytes == weight.file_bytes == 20_000 * 64 * 4
    assert weight.resident_bytes == weight.bytes


@pytest.mark.parametrize("name", ["if_capture", "loop_capture", "unknown_size", "sequence", "multi_output", "half"])
def test_tensors_have_the_shapes_of_the_run(reference: Callable[[str], Path], name: str) -> None:
    """The oracle is the engine's own outputs, where shapes depend on data or are inside control flow."""
    import onnxruntime

    from mopar.profiling import sample_inputs

    path = reference(name)
    profile = _profile(path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    values, _ = sample_inputs(load_model(path).inputs)
    tensors = {tensor.name: tensor for tensor in profile.tensors}
    for output, got in zip(session.get_outputs(), session.run(None, values), strict=True):
        assert tensors[output.name].shape == got.shape
        assert tensors[output.name].bytes == got.nbytes


def test_a_model_that_the_engine_refuses_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    spec = TensorSpec("x", "float32", (1,))
    with pytest.raises(EngineError, match=r"broken\.onnx: ONNX Runtime: ") as caught:
        run_engine(
            tmp_path / "broken.onnx",
            {"x": np.zeros(1, np.float32)},
            (spec,),
            tmp_path,
            options=EngineOptions(),
            budget=QUICK,
        )
    assert "\n" not in str(caught.value)


def test_layers_are_timed_at_the_point_and_the_range_has_its_ends(reference: Callable[[str], Path]) -> None:
    profile = _profile(reference("symbolic"), x="1..2..8x1..5..40x16")
    assert profile.smallest is not None
    assert profile.largest is not None
    assert profile.beyond is None
    assert (profile.smallest.shapes, profile.largest.shapes) == ({"x": (1, 1, 16)}, {"x": (8, 40, 16)})
    assert profile.tensors[0].shape == profile.recipes[0].shape == (2, 5, 16)
    sizes = (profile.smallest.tensor_bytes[0], profile.tensors[0].bytes, profile.largest.tensor_bytes[0])
    assert sizes == (64, 640, 20480)
    assert profile.largest.memory_mib == profile.whole.memory_mib > profile.smallest.memory_mib
    assert len(profile.largest.layer_bytes) == len(profile.layers)
    assert profile_from_json(profile_json(profile), what="a profile") == profile


def test_beyond_a_point_is_what_twice_its_sizes_take(reference: Callable[[str], Path]) -> None:
    profile = _profile(reference("symbolic"), x=(2, 5, 16))
    assert profile.smallest is profile.largest is None
    assert profile.beyond is not None
    assert profile.beyond.shapes == {"x": (4, 10, 16)}
    assert profile.beyond.memory_mib > profile.whole.memory_mib


def test_a_size_that_the_model_does_not_answer_is_named(tmp_path: Path) -> None:
    g = Builder("fixed")
    g.add("Add", g.input("x", ["rows", 4]), g.weight(8, 4), output="y")
    g.output("y", ["rows", 4])
    g.save(tmp_path / "fixed.onnx")
    with pytest.raises(InputError, match=r"does not answer x=16x4: state a range that it answers"):
        _profile(tmp_path / "fixed.onnx", x="8..8..16x4")
    assert _profile(tmp_path / "fixed.onnx", x=(8, 4)).beyond is None
