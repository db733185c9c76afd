"""A model over 2 GiB, more than a single protobuf can hold, through all stages."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import mopar
from mopar.bundle import compare_all
from mopar.pipeline.reference import ReferenceModel

WIDTH, LAYERS, TILES = 10_240, 6, 16
ROOM_BYTES = 40 << 30


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    """A folder that is emptied afterwards: pytest would keep some 10 GB for three runs."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.fixture
def large_model(room: Path) -> Path:
    """Six layers of 400 MiB each; the weights are written tile by tile, without holding them all in memory."""
    if shutil.disk_usage(room).free < ROOM_BYTES:
        pytest.skip("needs 40 GiB of disk for the model, its slices and their packed forms")
    rng = np.random.default_rng(0)
    layer_bytes = 4 * WIDTH * WIDTH
    with (room / "large.data").open("wb") as data:
        for layer in range(LAYERS):
            tile = rng.standard_normal((WIDTH // TILES, WIDTH), dtype=np.float32) / np.float32(WIDTH**0.5)
            for number in range(TILES):
                data.write((np.roll(tile, number + layer, axis=1)).tobytes())
    weights = []
    for layer in range(LAYERS):
        tensor = TensorProto(
            name=f"w{layer}", data_type=TensorProto.FLOAT, dims=[WIDTH, WIDTH], data_location=TensorProto.EXTERNAL
        )
        place = {"location": "large.data", "offset": str(layer * layer_bytes), "length": str(layer_bytes)}
        tensor.external_data.extend(onnx.StringStringEntryProto(key=key, value=value) for key, value in place.items())
        weights.append(tensor)
    nodes = []
    for layer in range(LAYERS):
        nodes.append(helper.make_node("MatMul", [f"x{layer}", f"w{layer}"], [f"m{layer}"], name=f"matmul{layer}"))
        nodes.append(helper.make_node("Tanh", [f"m{layer}"], [f"x{layer + 1}"], name=f"tanh{layer}"))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, WIDTH]) for name in ("x0", f"x{LAYERS}")]
    graph = helper.make_graph(nodes, "large", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (room / "large.onnx").write_bytes(model.SerializeToString())
    return room / "large.onnx"


@pytest.mark.slow
def test_from_profile_to_an_answer(large_model: Path, room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(room / "cache"))
    monkeypatch.setenv("TMPDIR", str(room))
    model = mopar.load(large_model)
    assert model.weight_bytes > 2 << 30
    profile = mopar.profile(model)
    plan = mopar.plan(profile, mopar.PlanOptions(uniform=2, slo_ms=None))
    bundle = mopar.build(model, plan, room / "bundle")
    inputs = {"x0": np.random.default_rng(1).standard_normal((1, WIDTH), dtype=np.float32)}
    got = mopar.infer(bundle, inputs, deadline_s=300.0)
    want = ReferenceModel(large_model).infer(inputs)
    assert np.abs(want[f"x{LAYERS}"]).max() > 0.01
    assert all(difference.equal for difference in compare_all(got, want))
