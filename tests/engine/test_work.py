"""Features of nodes whose work is known by calculation."""

import pytest

from mopar.costmodel.packing import packed_bytes
from mopar.engine.work.facts import NodeFacts, TensorFacts
from mopar.engine.work.families import work_of

NCHWC = "com.microsoft.nchwc"


def weight(*shape: int) -> TensorFacts:
    return TensorFacts(shape, weight=True)


def test_a_convolution_multiplies_each_output_by_its_window() -> None:
    node = NodeFacts(
        "Conv", NCHWC, (TensorFacts((1, 64, 56, 56)), weight(128, 64, 3, 3)), (TensorFacts((1, 128, 28, 28)),),
        {"strides": (2, 2), "group": 1},
    )  # fmt: skip
    work = work_of(node)
    assert work.family == "conv_direct"
    assert work.flops == 2 * 128 * 28 * 28 * 64 * 9
    assert work.read_bytes == 4 * 64 * 56 * 56
    assert work.weight_bytes == 4 * 128 * 64 * 9
    assert work.written_bytes == 4 * 128 * 28 * 28


@pytest.mark.parametrize(
    ("kernel", "group", "domain", "family"),
    [
        ((64, 64, 1, 1), 1, NCHWC, "conv_pointwise"),
        ((64, 1, 3, 3), 64, NCHWC, "conv_depthwise"),
        ((64, 16, 3, 3), 4, NCHWC, "conv_grouped"),
        ((64, 3, 7, 7), 1, NCHWC, "conv_first"),
        ((64, 64, 3, 3), 1, "", "conv_plain"),
    ],
)
def test_convolutions_are_told_apart_by_their_kernels(
    kernel: tuple[int, ...], group: int, domain: str, family: str
) -> None:
    taken = TensorFacts((1, kernel[1] * group, 8, 8))
    node = NodeFacts("Conv", domain, (taken, weight(*kernel)), (TensorFacts((1, 64, 8, 8)),), {"group": group})
    assert work_of(node).family == family


def test_matrix_products_by_what_is_stored() -> None:
    row, rows, other = TensorFacts((1, 256)), TensorFacts((1, 12, 32, 64)), TensorFacts((1, 12, 64, 32))
    gemv = work_of(NodeFacts("Gemm", "", (row, weight(512, 256)), (TensorFacts((1, 512)),), {"transB": 1}))
    assert (gemv.family, gemv.flops, gemv.weight_bytes) == ("gemv", 2 * 512 * 256, 4 * 512 * 256)
    batched = work_of(NodeFacts("MatMul", "", (rows, other), (TensorFacts((1, 12, 32, 32)),)))
    assert (batched.family, batched.flops) == ("batched", 2 * 12 * 32 * 32 * 64)


def test_a_product_whose_output_kept_a_vectors_shape_has_one_row() -> None:
    taken = TensorFacts((1, 64)), weight(64, 8), weight(8)
    work = work_of(NodeFacts("Gemm", "", taken, (TensorFacts((8,)),)))
    assert (work.family, work.flops) == ("gemv", 2 * 8 * 64)


def test_a_recurrent_layer_computes_its_gates_at_each_step() -> None:
    node = NodeFacts(
        "LSTM", "", (TensorFacts((10, 1, 32)), weight(2, 256, 32), weight(2, 256, 64)), (TensorFacts((10, 2, 1, 64)),)
    )
    assert work_of(node).flops == 2 * 10 * 2 * 4 * 64 * (32 + 64)


def test_a_gather_reads_the_rows_that_it_takes() -> None:
    node = NodeFacts("Gather", "", (weight(30000, 128), TensorFacts((1, 16), 64)), (TensorFacts((1, 16, 128)),))
    work = work_of(node)
    assert work.family == "gather"
    assert work.weight_bytes == 4 * 16 * 128


def test_what_has_no_rule_or_no_shape_still_moves_bytes() -> None:
    known = work_of(NodeFacts("Frobnicate", "custom", (TensorFacts((1, 100)),), (TensorFacts((1, 100)),)))
    assert known.family == "other"
    assert known.moved_bytes == 800
    assert work_of(NodeFacts("Relu", "", (TensorFacts(None),), (TensorFacts(None),))).family == "other"


def test_packed_weights_are_rounded_up_to_sixteen_columns() -> None:
    taken = TensorFacts((4, 100))
    assert packed_bytes(NodeFacts("MatMul", "", (taken, weight(100, 40))), 1) == 4 * 100 * 48
    assert packed_bytes(NodeFacts("Gemm", "", (taken, weight(40, 100)), attributes={"transB": 1}), 1) == 4 * 100 * 48
    assert packed_bytes(NodeFacts("Gather", "", (weight(100, 40), TensorFacts((1,), 64))), 0) == 0
