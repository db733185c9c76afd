"""What a kernel of the engine does: operations, bytes, and the shapes that decide how well it does it.

Each family of operators has features of its own (logarithms of sizes, how well they fill the kernels' blocks), from
which the fitted model tells how far the kernel stays behind the machine's roofline.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mopar.engine.work.common import Work
from mopar.engine.work.convolution import conv_transpose_work, conv_work
from mopar.engine.work.facts import NodeFacts
from mopar.engine.work.matrix import attention_work, matmul_work, recurrent_work
from mopar.engine.work.memory_bound import (
    elementwise_work,
    gather_work,
    movement_work,
    norm_work,
    other_work,
    pool_work,
    reduce_work,
    view_work,
)

_Rule = Callable[[NodeFacts], Work]


def _named(rule: _Rule, *operators: str) -> dict[str, _Rule]:
    return dict.fromkeys(operators, rule)


_RULES: dict[str, _Rule] = {
    **_named(conv_work, "Conv", "FusedConv"),
    **_named(conv_transpose_work, "ConvTranspose"),
    **_named(matmul_work, "MatMul", "Gemm", "FusedMatMul", "FusedGemm", "TransposeMatMul"),
    **_named(attention_work, "Attention", "MultiHeadAttention"),
    **_named(recurrent_work, "LSTM", "GRU", "RNN"),
    **_named(
        norm_work, "LayerNormalization", "SimplifiedLayerNormalization", "SkipLayerNormalization", "Softmax",
        "SkipSimplifiedLayerNormalization", "EmbedLayerNormalization", "InstanceNormalization", "LogSoftmax", "LRN",
        "GroupNorm", "GroupNormalization", "RMSNormalization", "LpNormalization", "MeanVarianceNormalization",
    ),
    **_named(
        reduce_work, "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceL1", "ReduceProd",
        "ReduceSumSquare", "ArgMax", "ArgMin", "ReduceLogSumExp", "CumSum", "TopK",
    ),
    **_named(
        elementwise_work, "Abs", "Add", "And", "BatchNormalization", "BiasGelu", "BiasSoftmax", "BitShift", "Cast",
        "Ceil", "Clip", "Cos", "Div", "Elu", "Equal", "Erf", "Exp", "FastGelu", "Floor", "Gelu", "Greater",
        "GreaterOrEqual", "HardSigmoid", "HardSwish", "IsNaN", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Mean",
        "Min", "Mish", "Mod", "Mul", "Neg", "Not", "Or", "PRelu", "Pow", "QuickGelu", "Reciprocal", "Relu", "Round",
        "Selu", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Tanh", "ThresholdedRelu",
        "Where", "Xor", "Silu", "Swish",
    ),
    **_named(
        movement_work, "Transpose", "Concat", "Slice", "Split", "Pad", "Expand", "Tile", "Resize", "Upsample",
        "ReorderInput", "ReorderOutput", "DepthToSpace", "SpaceToDepth", "ConstantOfShape", "Range", "Trilu",
    ),
    **_named(gather_work, "Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND", "EmbedLayer"),
    **_named(
        view_work, "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Shape", "Size",
    ),
    **_named(
        pool_work, "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LpPool",
    ),
}  # fmt: skip


def work_of(node: NodeFacts) -> Work:
    """What a kernel does.

    An operator that has no rule, or whose tensors' shapes are not known, is of the family ``other``: bytes moved,
    one operation per byte, at a poor efficiency.
    """
    rule = _RULES.get(node.operator)
    known = all(tensor.shape is not None for tensor in (*node.inputs, *node.outputs) if tensor is not None)
    if rule is None or not node.outputs or not known:
        return other_work(node)
    return rule(node)


@dataclass(frozen=True, slots=True)
class KernelWork:
    """A kernel of the optimised graph: which layer it counts for, and what it does.

    Attributes:
        index: of its node in the optimised graph.
        layer: -1 where it counts for none.
        work: what it does.
    """

    index: int
    layer: int
    work: Work
