"""LSTM, GRU and RNN split by directions and by sequences."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from onnx.reference import ReferenceEvaluator

from mopar.sharding import WHOLE, ConflictError, Part, Piece, shard_model
from tests.sharding.cases import check_piece, floats, spans, taken
from tests.sharding.oracle import Array, check_split, check_sum, cut, node_model, weight_bytes

STEPS, BATCH, WIDTH, HIDDEN = 4, 5, 3, 2
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
OUTPUTS = ("y", "y_h", "y_c")
ONE_WAY = {
    "LSTM": [["Sigmoid", "Tanh", "Tanh"], ["HardSigmoid", "Relu", "LeakyRelu"]],
    "GRU": [["Sigmoid", "Tanh"], ["Sigmoid", "LeakyRelu"]],
    "RNN": [["Tanh"], ["LeakyRelu"]],
}


def network(
    operator: str, directions: int, given_inputs: set[str], layout: int = 0, **attributes: Any
) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """Of inputs ``x``, ``lengths`` and states, with all outputs."""
    gates = GATES[operator]
    weights = {
        "w": floats(directions, gates * HIDDEN, WIDTH),
        "r": floats(directions, gates * HIDDEN, HIDDEN),
        "b": floats(directions, 2 * gates * HIDDEN),
        "p": floats(directions, 3 * HIDDEN),
    }
    state = (BATCH, directions, HIDDEN) if layout else (directions, BATCH, HIDDEN)
    inputs = {
        "x": floats(*((BATCH, STEPS) if layout else (STEPS, BATCH)), WIDTH),
        "lengths": np.array([4, 1, 3, 4, 2], np.int32),
        "h": floats(*state),
        "c": floats(*state),
    }
    slots = ["x", "w", "r", "b", "lengths", "h", *(["c", "p"] if operator == "LSTM" else [])]
    names = [name if name in {"x", "w", "r", *given_inputs} else "" for name in slots]
    node = helper.make_node(
        operator, names, OUTPUTS[: 3 if operator == "LSTM" else 2], hidden_size=HIDDEN, layout=layout, **attributes
    )
    outputs = dict.fromkeys(node.output, onnx.TensorProto.FLOAT)
    used = {name: value for name, value in inputs.items() if name in names}
    held = {name: value for name, value in weights.items() if name in names}
    return node_model(node, used, held, outputs), used


OPTIONAL = st.sets(st.sampled_from(["b", "lengths", "h", "c", "p"]))


@settings(max_examples=60)
@given(st.data(), st.sampled_from(sorted(GATES)), OPTIONAL, st.booleans(), st.sampled_from(["own", "same", "none"]))
def test_each_direction_is_a_part(
    data: st.DataObject, operator: str, optional: set[str], clips: bool, activations: str
) -> None:
    attributes: dict[str, Any] = {"clip": 0.7} if clips else {}
    if activations == "own":
        one, other = ONE_WAY[operator]
        attributes["activations"] = [*one[:-1], "Relu", *one[:-1], "Tanh"] if operator != "RNN" else ["Relu", "Tanh"]
    elif activations == "same":
        other = ONE_WAY[operator][1]
        factors = 2 if operator == "LSTM" else 1
        attributes |= {"activations": other * 2, "activation_alpha": [0.1, 0.2, 0.3, 0.4][: 2 * factors]}
    model, inputs = network(operator, 2, optional, direction="bidirectional", **attributes)
    number = data.draw(st.integers(0, 1))
    chosen = ((number, number + 1),)
    axes = {output.name: int(output.name == "y") for output in model.graph.output}
    names = data.draw(st.sets(st.sampled_from(sorted(axes)), min_size=1))
    part = check_piece(model, inputs, {name: Piece(axes[name], chosen) for name in names})
    assert weight_bytes(part) * 2 == weight_bytes(model)
    needs = taken(model, {name: Piece(axes[name], chosen) for name in names})
    assert all(needs[name] == Piece(0, chosen) for name in ("w", "r", *(optional & {"h"})))


@settings(max_examples=60)
@given(st.data(), st.sampled_from(sorted(GATES)), OPTIONAL, st.sampled_from(["forward", "reverse", "bidirectional"]))
def test_sequences_of_a_batch_are_parts(data: st.DataObject, operator: str, optional: set[str], direction: str) -> None:
    model, inputs = network(operator, 2 if direction == "bidirectional" else 1, optional, direction=direction)
    axes = {output.name: 2 if output.name == "y" else 1 for output in model.graph.output}
    names = data.draw(st.sets(st.sampled_from(sorted(axes)), min_size=1))
    wanted = {name: Piece(axes[name], data.draw(spans(BATCH))) for name in names}
    check_piece(model, inputs, wanted)
    needs = taken(model, wanted)
    assert needs["x"].axis == 1
    assert needs["w"] == WHOLE
    if "lengths" in inputs:
        assert needs["lengths"] == needs["x"].along(0)


@pytest.mark.parametrize("operator", sorted(GATES))
def test_other_axes_come_from_the_whole(operator: str) -> None:
    model, inputs = network(operator, 2, {"b"}, direction="bidirectional")
    check_split(model, inputs, 0, 2, output="y")
    check_split(model, inputs, 3, 2, output="y")
    check_piece(model, inputs, {"y": Piece(1, ((0, 1),)), "y_h": Piece(1, ((0, 2),))})


@pytest.mark.parametrize(
    ("operator", "activations", "factors"),
    [
        ("RNN", ["Relu", "LeakyRelu"], [0.3]),
        ("LSTM", ["LeakyRelu", "LeakyRelu", "LeakyRelu", "Sigmoid", "Tanh", "LeakyRelu"], [0.1, 0.2, 0.3, 0.4]),
    ],
)
def test_factors_of_activations_that_may_be_either_direction_s_leave_the_node_whole(
    operator: str, activations: list[str], factors: list[float]
) -> None:
    attributes: dict[str, Any] = {"direction": "bidirectional", "activations": activations, "activation_alpha": factors}
    model, inputs = network(operator, 2, set(), **attributes)
    wanted = {"y": Piece(1, ((1, 2),))}
    check_piece(model, inputs, wanted)
    assert taken(model, wanted)["w"] == WHOLE


def reference(model: onnx.ModelProto, inputs: dict[str, Array]) -> npt.NDArray[np.float32]:
    """The first output."""
    results = ReferenceEvaluator(model).run(None, dict(inputs))
    assert isinstance(results, list)
    return np.asarray(results[0], np.float32)


@settings(max_examples=15)
@given(st.data(), st.sampled_from(sorted(GATES)))
def test_a_batch_that_comes_first_splits_too(data: st.DataObject, operator: str) -> None:
    """ONNX Runtime has no such kernel; ONNX's reference evaluator is the oracle."""
    model, inputs = network(operator, 1, {"b", "h"}, layout=1)
    wanted = {"y": Piece(0, data.draw(spans(BATCH)))}
    sharded = ir.from_proto(model)
    pieces = shard_model(sharded, wanted, Part(0, 2))
    assert pieces == {name: wanted["y"].hull() for name in inputs}
    got = reference(ir.to_proto(sharded), {name: cut(inputs[name], pieces[name]) for name in pieces})
    np.testing.assert_allclose(got, cut(reference(model, inputs), wanted["y"]).astype(np.float32), rtol=1e-5, atol=1e-6)
    two_ways, _ = network(operator, 2, {"b", "h"}, layout=1, direction="bidirectional")
    assert taken(two_ways, {"y": Piece(2, ((1, 2),))})["h"] == Piece(1, ((1, 2),))
    assert taken(two_ways, {"y_h": Piece(1, ((0, 1),))})["w"] == Piece(0, ((0, 1),))


@pytest.mark.parametrize("operator", sorted(GATES))
def test_no_part_makes_a_summand(operator: str) -> None:
    model, inputs = network(operator, 2, {"b"}, direction="bidirectional")
    with pytest.raises(ConflictError):
        check_sum(model, inputs, 2)
