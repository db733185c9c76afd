"""Matrices multiplied by a single row stay unpacked; those with more rows, or an unknown number, are packed."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from mopar.costmodel.describe import describe
from mopar.engine import plain
from mopar.engine.packed import optimised_graph, stored_weights
from mopar.engine.prepack import pack_graph
from mopar.graph import layers_of, load_model, save_model
from mopar.types import PACKED_OPTIONS
from tests.models.builder import Builder

WIDTH = 96


def model_of(path: Path) -> tuple[Path, dict[str, bool]]:
    """A model with shapes of tensors, and for each of its matrices whether only single rows are multiplied by it."""
    g = Builder("rows")
    one, two = g.input("one", [1, WIDTH]), g.input("two", [2, WIDTH])
    any_rows = g.input("any", ["n", WIDTH])
    row, both, rows, unknown = (g.weight(WIDTH, WIDTH) for _ in range(4))
    by_row = g.add("Gemm", g.add("Relu", g.add("MatMul", one, row)), row, transB=1)
    g.add("MatMul", by_row, both, output="a")
    g.add("Add", g.add("MatMul", two, both), g.add("MatMul", two, rows), output="b")
    g.add("MatMul", any_rows, unknown, output="c")
    g.output("a", [1, WIDTH])
    g.output("b", [2, WIDTH])
    g.output("c", ["n", WIDTH])
    g.save(path)
    (written,) = save_model(load_model(path).ir, path.with_name("canonical.onnx"))[:1]
    return written, {row: True, both: False, rows: False, unknown: False}


def answers(path: Path) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options)
    random = np.random.default_rng(0)
    given = {name: random.standard_normal((n, WIDTH), np.float32) for name, n in (("one", 1), ("two", 2), ("any", 3))}
    return [np.asarray(value) for value in session.run(None, given)]


def test_what_one_row_meets_is_not_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, expected = model_of(tmp_path / "model.onnx")
    usual, _ = pack_graph(source, tmp_path / "usual" / "model.onnx", PACKED_OPTIONS)
    assert all(weight.packed for weight in stored_weights(usual))

    monkeypatch.setattr(plain, "_LEAST_BYTES", 4 * WIDTH * WIDTH)
    packed, weights = pack_graph(source, tmp_path / "packed" / "model.onnx", PACKED_OPTIONS)
    assert {weight.name: not weight.packed for weight in stored_weights(packed)} == expected
    assert weights.stat().st_size == (4 + 3) * 4 * WIDTH * WIDTH
    for found, wanted in zip(answers(packed), answers(usual), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)

    graph = optimised_graph(packed)
    assert [value.name for value in graph.inputs] == ["one", "two", "any"]
    assert {str(name) for name in graph.initializers} == set(expected)


def test_it_is_predicted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "_LEAST_BYTES", 4 * WIDTH * WIDTH)
    g = Builder("row")
    g.add("MatMul", g.input("x", [1, WIDTH]), g.weight(WIDTH, WIDTH), output="y")
    g.output("y", [1, WIDTH])
    g.save(tmp_path / "model.onnx")
    model = load_model(tmp_path / "model.onnx")
    (weight,) = describe(model, layers_of(model), {"x": (1, WIDTH)}).stored
    assert not weight.packed
    assert weight.resident_bytes == weight.bytes


def test_bodies_read_any_number_of_rows() -> None:
    body = onnx.helper.make_graph([onnx.helper.make_node("MatMul", ["x", "w"], ["y"])], "body", [], [])
    node = onnx.helper.make_node("If", ["c"], ["z"], then_branch=body, else_branch=body)
    assert plain._rows_of_weights(onnx.helper.make_graph([node], "g", [], []))["w"] == [None, None]
