"""Cutting anywhere changes no output, for every feature of graphs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from mopar.graph import boundary, extract, layers_of, load_model, tensor_shapes
from tests.graph import tiny
from tests.graph.composed import composed_equals_whole


@pytest.mark.parametrize("make", tiny.ALL, ids=lambda make: make.__name__)
def test_parts_answer_what_the_whole_answers(make: Callable[[Path], tiny.Made], tmp_path: Path) -> None:
    path, feeds = make(tmp_path)
    model, layers, cuts = composed_equals_whole(path, feeds)
    assert cuts, "a model without a place to cut shows nothing"
    graph = onnx.load(path, load_external_data=False).graph
    weights = {weight.name for weight in graph.initializer}
    assert [spec.name for spec in model.inputs] == [v.name for v in graph.input if v.name not in weights]
    assert [spec.name for spec in model.outputs] == [v.name for v in graph.output]
    assert sorted(name for layer in layers for name in layer.nodes) == sorted(str(n.name) for n in model.nodes)


def test_a_cut_names_what_is_live_and_no_more(tmp_path: Path) -> None:
    path, _ = tiny.shared_weight(tmp_path)
    model, layers, cuts = composed_equals_whole(path, tiny.shared_weight(tmp_path)[1])
    last = cuts[-1]
    # The early output is read again by the last layer; the input z is not, so it need not be transferred.
    assert set(last.tensors) == {"early", "c"}
    assert last.inputs == ()
    assert cuts[0].inputs == ("z",)
    inputs, outputs = boundary(model, layers, last.index, len(layers))
    assert {spec.name for spec in inputs} == set(last.tensors)
    assert [spec.name for spec in outputs] == ["y"]
    # z is an input and an output: no layer produces it.
    assert {spec.name for spec in boundary(model, layers, 0, len(layers))[1]} == {"early", "y"}


def test_strings_and_sequences_cross_no_cut(tmp_path: Path) -> None:
    for make, forbidden in ((tiny.strings, {"s", "n"}), (tiny.sequences, {"q"})):
        path, feeds = make(tmp_path)
        _, layers, cuts = composed_equals_whole(path, feeds)
        assert len(cuts) < len(layers) - 1
        assert not forbidden.intersection(name for cut in cuts for name in (*cut.tensors, *cut.inputs))


def test_types_that_onnx_cannot_infer_come_from_the_engine(tmp_path: Path) -> None:
    path, feeds = tiny.contrib(tmp_path)
    model, layers, cuts = composed_equals_whole(path, feeds)
    assert len(cuts) == len(layers) - 1 == 4
    assert tensor_shapes(model)["m"].shape == ("n", 4, 16)


def test_a_part_holds_only_its_own_weights_and_shares_them(tmp_path: Path) -> None:
    model = load_model(tiny.branches(tmp_path)[0])
    layers = layers_of(model)
    index = next(layer.index for layer in layers if "If" in layer.operators)
    part = extract(model, index, index + 1, layers)
    stored = part.graph.initializers
    assert set(stored) == set(layers[index].weights)
    # The branches' own weights count too, and the other matrix is not included.
    assert len(stored) == 3
    assert "w2" not in stored
    for name, value in stored.items():
        assert value.const_value is model.ir.graph.initializers[name].const_value


def test_both_branches_keep_their_own_weight(tmp_path: Path) -> None:
    path, feeds = tiny.branches(tmp_path)
    for flag in (True, False):
        composed_equals_whole(path, {**feeds, "flag": np.array(flag)}, every=3)


def test_symbolic_dimensions_stay_symbolic(tmp_path: Path) -> None:
    path, _ = tiny.skip(tmp_path)
    model = load_model(path)
    layers = layers_of(model)
    assert model.inputs[0].shape == ("n", 3, 8, 8)
    inputs, _ = boundary(model, layers, 1, len(layers))
    assert inputs[0].shape == ("n", 16, 8, 8)
    # A file may declare a stale batch size for an intermediate tensor; a slice must not trust it.
    stale = onnx.load(path)
    stale.graph.value_info.append(tiny.info("r", 1, 16, 8, 8))
    onnx.save(stale, path)
    assert tensor_shapes(load_model(path))["r"].shape == ("n", 16, 8, 8)


def test_shape_computations_keep_no_large_tensor_alive(tmp_path: Path) -> None:
    path, feeds = tiny.shape_glue(tmp_path)
    _, _, cuts = composed_equals_whole(path, feeds)
    assert all("a" not in cut.tensors for cut in cuts if cut.index > 1)
    assert all(len(cut.tensors) <= 2 for cut in cuts)


def test_every_batch_size_that_the_whole_answers(tmp_path: Path) -> None:
    path, feeds = tiny.skip(tmp_path)
    composed_equals_whole(path, {"x": np.concatenate([feeds["x"], feeds["x"]])})
