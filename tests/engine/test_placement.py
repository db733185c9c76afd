"""Weights of a packed file are ordered as requests read them, and keep their values."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from mopar.engine import placement
from mopar.engine.packed import PACKED_KEY, packed_blobs
from mopar.engine.prepack import pack_graph
from mopar.runtime.mapped import TABLES
from mopar.types import PACKED_OPTIONS
from tests.models.builder import Builder

WIDTH, LAYERS = 96, 4


def model_of(path: Path) -> Path:
    """Packed matrices, one of which another operator reads unpacked, and a table."""
    g = Builder("read_order")
    x, row = g.input("x", [1, WIDTH]), g.input("row", [1], onnx.TensorProto.INT64)
    shared = g.weight(WIDTH, WIDTH)
    for _ in range(LAYERS):
        x = g.add("Relu", g.add("MatMul", x, g.weight(WIDTH, WIDTH)))
    g.add("Add", g.add("MatMul", x, shared), g.add("Gather", shared, row, axis=0), output="y")
    g.output("y", [1, WIDTH])
    g.save(path)
    return path


def answer(path: Path) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    x = np.linspace(-1, 1, WIDTH, dtype=np.float32)[None]
    (got,) = onnxruntime.InferenceSession(str(path), options).run(None, {"x": x, "row": np.array([3])})
    return np.asarray(got)


def test_what_is_read_comes_first_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = model_of(tmp_path / "model.onnx")
    placed, weights = pack_graph(source, tmp_path / "placed" / "model.onnx", PACKED_OPTIONS)
    monkeypatch.setattr(placement, "place_read_first", lambda _graph, *weights: weights)
    written, _ = pack_graph(source, tmp_path / "written" / "model.onnx", PACKED_OPTIONS)
    np.testing.assert_array_equal(answer(placed), answer(written))

    packed: dict[str, int] = {}
    originals: dict[str, int] = {}
    graph = onnx.load(placed, load_external_data=False).graph
    for tensor in graph.initializer:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        originals[tensor.name] = int(entries["offset"])
        ((packed[tensor.name], _, _),) = packed_blobs(tensor.name, entries[f"{PACKED_KEY}0"])[1]
    matrices = [node.input[1] for node in graph.node if node.op_type in {"MatMul", "Gemm"}]
    assert len(matrices) == LAYERS + 1
    (table,) = (node.input[0] for node in graph.node if node.op_type == "Gather")
    places = [packed[name] for name in matrices if name != table]
    assert places == sorted(places)
    unread = [offset for name, offset in originals.items() if name != table]
    assert max(originals[table], packed[table], *places) < min(unread)
    assert weights.stat().st_size == max(unread) + 4 * WIDTH * WIDTH


ROWS = 5000
"""Rows of a table of more than 1 MiB."""


def lookups_of(path: Path) -> Path:
    """A table that is looked up by rows alone, one by columns, and one that a matrix is multiplied by too."""
    g = Builder("lookups")
    x, row = g.input("x", [1, WIDTH]), g.input("row", [1], onnx.TensorProto.INT64)
    by_row, by_column, shared = g.weight(ROWS, WIDTH), g.weight(WIDTH, ROWS), g.weight(WIDTH, ROWS)
    column = g.add("Transpose", g.add("Gather", by_column, row, axis=1), perm=[1, 0])
    product = g.add("ReduceSum", g.add("MatMul", x, shared))
    of_shared = g.add("ReduceSum", g.add("Gather", shared, row, axis=0))
    total = g.add("Add", g.add("Gather", by_row, row, axis=0), column)
    g.add("Add", total, g.add("Add", product, of_shared), output="y")
    g.output("y", [1, WIDTH])
    g.save(path)
    return path


def test_tables_of_rows_are_in_a_file_of_their_own(tmp_path: Path) -> None:
    source = lookups_of(tmp_path / "model.onnx")
    packed, weights, tables = pack_graph(source, tmp_path / "packed" / "model.onnx", PACKED_OPTIONS)
    assert tables.name.endswith(TABLES)
    assert tables.stat().st_size == 4 * ROWS * WIDTH
    assert weights.stat().st_size >= 2 * 4 * ROWS * WIDTH
    np.testing.assert_allclose(answer(packed), answer(source), rtol=1e-4)
