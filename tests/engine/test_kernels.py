"""Every kernel of the engine is attributed to nodes, and no layer boundary splits one."""

from collections.abc import Callable
from pathlib import Path

import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest

from mopar.engine.kernels import Kernel, attribute_kernels
from mopar.graph import Model, layers_of, load_model, save_model
from tests.graph import tiny


def _kernels(model: Model, folder: Path) -> list[Kernel]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    files = save_model(model.ir, folder / "canonical.onnx")
    ort.InferenceSession(str(files[0]), options, providers=["CPUExecutionProvider"])
    optimised = ir.from_proto(onnx.load(folder / "optimised.onnx", format="protobuf", load_external_data=False))
    return attribute_kernels(model.ir.graph, optimised.graph)


@pytest.mark.parametrize("make", tiny.ALL, ids=lambda make: make.__name__)
def test_the_map_is_total_and_keeps_to_layers(make: Callable[[Path], tiny.Made], tmp_path: Path) -> None:
    model = load_model(make(tmp_path)[0])
    layer_of = {name: layer.index for layer in layers_of(model) for name in layer.nodes}
    costly = {"Conv", "MatMul", "Gemm", "LSTM", "Loop", "If"}
    operator = {str(node.name): node.op_type for node in model.nodes}
    for kernel in _kernels(model, tmp_path):
        assert kernel.nodes, f"{kernel.name} is attributed to nothing"
        if not kernel.layout_only:
            assert len({layer_of[name] for name in kernel.nodes if operator[name] in costly}) <= 1


def test_fused_convolutions_are_one_layer_each(tmp_path: Path) -> None:
    model = load_model(tiny.skip(tmp_path)[0])
    operators = [layer.operators for layer in layers_of(model)]
    assert ("Conv", "BatchNormalization", "Relu") in operators
    assert ("Conv", "Add", "Relu") in operators
    kernels = _kernels(model, tmp_path)
    fused = [kernel for kernel in kernels if kernel.operator == "Conv" and len(kernel.nodes) == 3]
    assert len(fused) == 2
    assert all(kernel.nodes for kernel in kernels if kernel.layout_only)


# The blocked layout has 8 channels with AVX2 and 16 with AVX-512: 6 channels fill no block, 16 fill blocks of both.
@pytest.mark.parametrize("channels", [6, 8, 16])
def test_moved_transposes_do_not_melt_the_model_into_one_layer(channels: int, tmp_path: Path) -> None:
    model = load_model(tiny.transposed(tmp_path, channels)[0])
    first, second = (layer.operators for layer in layers_of(model) if "Conv" in layer.operators)
    # The first transpose is separate depending on the blocks: an input that fills none is read unblocked.
    assert first in (
        ("Conv", "Transpose", "Add", "Sigmoid"),
        ("Transpose", "Conv", "Transpose", "Add", "Sigmoid"),
    )
    assert second == ("Transpose", "Conv", "Transpose")


def test_kernels_in_bodies_belong_to_their_node(tmp_path: Path) -> None:
    model = load_model(tiny.loop(tmp_path)[0])
    kernels = _kernels(model, tmp_path)
    loop = next(str(node.name) for node in model.nodes if node.op_type == "Loop")
    nested = [kernel for kernel in kernels if kernel.nested]
    assert nested
    assert all(kernel.nodes == (loop,) for kernel in nested)
