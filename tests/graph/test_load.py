"""What loading keeps and refuses, and that the same model has the same digest everywhere."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from mopar.graph import check_loadable, extract, layers_of, load_model, save_model
from mopar.types import ModelError
from tests.graph import tiny


def test_constants_are_weights_and_dead_nodes_are_gone(tmp_path: Path) -> None:
    model = load_model(tiny.constant_nodes(tmp_path)[0])
    assert [node.op_type for node in model.nodes] == ["MatMul", "Relu", "Reshape"]
    assert model.parameters == 16 * 32
    assert model.weight_bytes == 16 * 32 * 4 + 2 * 8
    assert len({node.name for node in model.nodes}) == 3
    assert all(node.name for node in model.nodes)


def test_a_shared_weight_counts_once(tmp_path: Path) -> None:
    model = load_model(tiny.shared_weight(tmp_path)[0])
    assert model.weight_bytes == 16 * 16 * 4
    assert sum("w" in layer.weights for layer in layers_of(model)) == 3


def test_constants_that_would_grow_are_not_folded(tmp_path: Path) -> None:
    shape = numpy_helper.from_array(np.array([600, 600], dtype=np.int64), "shape")
    small = numpy_helper.from_array(np.array([3, 3], dtype=np.int64), "small")
    one = numpy_helper.from_array(np.ones((1, 1), dtype=np.float32), "one")
    nodes = [
        helper.make_node("Expand", ["one", "shape"], ["large"]),
        helper.make_node("Expand", ["one", "small"], ["little"]),
        helper.make_node("Add", ["x", "large"], ["a"]),
        helper.make_node("Add", ["y", "little"], ["b"]),
    ]
    inputs = [tiny.info("x", 600, 600), tiny.info("y", 3, 3)]
    outputs = [tiny.info("a", 600, 600), tiny.info("b", 3, 3)]
    model = load_model(tiny.save(tmp_path / "grow.onnx", nodes, inputs, outputs, [shape, small, one]))
    assert sorted(node.op_type for node in model.nodes) == ["Add", "Add", "Expand"]


def test_the_digest_is_of_the_model_not_of_its_packaging(tmp_path: Path) -> None:
    inline = load_model(tiny.skip(tmp_path)[0])
    (tmp_path / "apart").mkdir()
    apart = load_model(tiny.external(tmp_path / "apart")[0])
    assert inline.graph_sha256 == apart.graph_sha256
    assert inline.sha256 != apart.sha256
    code = "import sys, pathlib, mopar.graph as g; print(g.load_model(pathlib.Path(sys.argv[1])).graph_sha256)"
    other = subprocess.run([sys.executable, "-c", code, str(inline.path)], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == inline.graph_sha256
    weights = tmp_path / "apart" / "weights.bin"
    data = bytearray(weights.read_bytes())
    data[5] ^= 1
    weights.write_bytes(data)
    changed = load_model(apart.path)
    assert changed.graph_sha256 != apart.graph_sha256
    assert changed.sha256 != apart.sha256


def _place(folder: Path, location: str) -> Path:
    path, _ = tiny.external(folder)
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data_stays_in_the_folder(tmp_path: Path) -> None:
    inside = tmp_path / "model"
    inside.mkdir()
    outside = tmp_path / "outside.bin"
    outside.write_bytes(bytes(1 << 20))
    (inside / "link.bin").symlink_to(outside)
    for location in (str(outside), str(inside / "weights.bin"), "../outside.bin", "a/../../outside.bin", "link.bin"):
        with pytest.raises(ModelError, match=location.replace(".", r"\.") + r".*folder"):
            load_model(_place(inside, location))
    with pytest.raises(ModelError, match=r"gone\.bin.*missing"):
        load_model(_place(inside, "gone.bin"))
    (inside / "short.bin").write_bytes(b"123")
    with pytest.raises(ModelError, match=r"short\.bin.*too short"):
        load_model(_place(inside, "short.bin"))


@pytest.mark.parametrize("content", [b"", b"this is text\n", b"\x08\x09", bytes(range(256)) * 9, b"{}"])
def test_what_is_no_onnx_file_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "notes.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"notes\.onnx"):
        load_model(path)
    with pytest.raises(ModelError, match=r"absent\.onnx"):
        load_model(tmp_path / "absent.onnx")


def test_a_graph_that_reads_what_nothing_makes(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "ghost"], ["y"], name="adder")]
    path = tiny.save(tmp_path / "m.onnx", nodes, [tiny.info("x", 2)], [tiny.info("y", 2)])
    with pytest.raises(ModelError, match=r"adder.*ghost"):
        load_model(path)


def test_an_unknown_operator_is_named_with_its_domain(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Fancy", ["a"], ["y"], domain="acme", name="f1")]
    domains = [("", 17), ("acme", 1)]
    path = tiny.save(tmp_path / "m.onnx", nodes, [tiny.info("x", 2)], [tiny.info("y", 2)], domains=domains)
    with pytest.raises(ModelError, match=r"acme::Fancy.*f1"):
        check_loadable(load_model(path))
    check_loadable(load_model(tiny.contrib(tmp_path)[0]))


def test_saving_twice_and_over_its_own_weights(tmp_path: Path) -> None:
    model = load_model(tiny.external(tmp_path)[0])
    layers = layers_of(model)
    files = save_model(extract(model, 0, len(layers), layers), tmp_path / "out" / "all.onnx")
    assert [file.name for file in files] == ["all.onnx", "all.data"]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["all.data", "all.onnx"]
    again = load_model(files[0])
    assert again.weight_bytes == model.weight_bytes
    for weight in again.ir.graph.initializers.values():
        tensor = weight.const_value
        assert isinstance(tensor, ir.ExternalTensor) == (tensor is not None and tensor.nbytes >= 1024)
        assert not isinstance(tensor, ir.ExternalTensor) or tensor.nbytes < 4096 or (tensor.offset or 0) % 4096 == 0
    # Its weights are mapped lazily from the file that would be replaced.
    with pytest.raises(ModelError, match=r"all\.data"):
        save_model(again.ir, files[0])


def test_an_output_that_is_a_stored_constant(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    outputs = [tiny.info("y", 2), tiny.info("c", 3), tiny.info("k", dtype=TensorProto.INT64)]
    nodes.append(helper.make_node("Constant", [], ["k"], value_int=4))
    path = tiny.save(tmp_path / "m.onnx", nodes, [tiny.info("x", 2)], outputs, [tiny.weight("c", 3)])
    model = load_model(path)
    made = {value.name for node in model.nodes for value in node.outputs}
    assert {"y", "c", "k"} <= made
