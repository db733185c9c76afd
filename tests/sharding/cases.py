"""Strategies for pieces, and checks of what a part reads for them."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from hypothesis import strategies as st

from mopar.nodes import name_of
from mopar.sharding import Part, Piece
from mopar.sharding.pieces import merge
from mopar.sharding.propagate import propagate
from tests.sharding.oracle import Array, cut, run, run_part


@st.composite
def spans(draw: st.DrawFn, size: int, most: int = 3) -> tuple[tuple[int, int], ...]:
    """A few spans of an axis; not all of it where it has more than one element."""
    chosen = draw(st.lists(st.tuples(st.integers(0, size - 1), st.integers(1, size)), min_size=1, max_size=most))
    found = merge((start, min(size, start + length)) for start, length in chosen)
    return ((0, size - 1),) if found == ((0, size),) and size > 1 else found


@st.composite
def pieces(draw: st.DrawFn, shape: Sequence[int], axes: Sequence[int] | None = None, most: int = 3) -> Piece:
    """A few spans along some axis that has more than one element."""
    axis = draw(st.sampled_from([one for one in axes or range(len(shape)) if shape[one] > 1]))
    return Piece(axis, draw(spans(shape[axis], most)))


def floats(*shape: int) -> npt.NDArray[Any]:
    """Values that are all different in practice."""
    return np.random.default_rng(prod(shape)).standard_normal(shape).astype(np.float32)


def check_piece(
    model: onnx.ModelProto, inputs: Mapping[str, Array], wanted: Mapping[str, Piece], part: Part | None = None
) -> onnx.ModelProto:
    """Check that a part's pieces equal the unsplit operator's; return its model."""
    whole = run(model, inputs)
    got, proto = run_part(model, inputs, wanted, part or Part(0, 2))
    assert got.keys() == wanted.keys()
    for name, piece in wanted.items():
        np.testing.assert_allclose(
            got[name].astype(np.float64), cut(whole[name], piece).astype(np.float64), rtol=2e-5, atol=2e-5
        )
    return proto


def taken(model: onnx.ModelProto, wanted: Mapping[str, Piece], part: Part | None = None) -> dict[str, Piece]:
    """The piece of each input and weight that a part reads."""
    graph = ir.from_proto(model).graph
    requested = {value: wanted[name_of(value)] for value in graph.outputs if name_of(value) in wanted}
    found = propagate(list(graph), requested, graph.outputs, part or Part(0, 2))
    entering = [*graph.inputs, *graph.initializers.values()]
    return {name_of(value): piece for value in entering if (piece := found.requested_of(value)) is not None}


def symbolic(model: onnx.ModelProto, names: Mapping[str, Mapping[int, str]]) -> onnx.ModelProto:
    """The model with dimensions of inputs known only at the request; shapes are inferred anew."""
    found = onnx.ModelProto()
    found.CopyFrom(model)
    for value in found.graph.input:
        for axis, name in names.get(value.name, {}).items():
            value.type.tensor_type.shape.dim[axis].dim_param = name
    for value in found.graph.output:
        value.type.tensor_type.ClearField("shape")
    del found.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(found, strict_mode=True, data_prop=True)


def is_cut(piece: Piece | None) -> bool:
    """Whether a part reads a part of a tensor, not all of it."""
    return piece is None or piece.axis is not None
