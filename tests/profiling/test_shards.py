"""Sharding steps: shared backward propagations give the same parts as separate ones, and there are few of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from mopar.graph import Layer, Model, cut_positions, layers_of, load_model
from mopar.nodes import is_weight, name_of
from mopar.profiling.document import profile_from_json, profile_json
from mopar.profiling.entries import operations_of
from mopar.profiling.liveness import live_bytes
from mopar.profiling.shard_parts import Writer
from mopar.profiling.shards import shard_steps
from mopar.sharding import Part, Piece, share_of
from mopar.sharding.backward import BackwardPass
from mopar.sharding.propagate import Propagation, fraction, propagate
from mopar.sharding.steps import Step, candidate_steps
from mopar.types import (
    CutPosition,
    GraphPart,
    LayerProfile,
    PartProfile,
    ProfileError,
    ShardStep,
    Share,
    WeightProfile,
)
from tests.models import small_names
from tests.profiles import chain

COUNTS = (2, 3)


@pytest.mark.parametrize("name", small_names())
def test_parts_are_what_a_model_of_their_layers_alone_says(reference: Callable[[str], Path], name: str) -> None:
    """For every candidate, whether or not a profile would keep it."""
    _check(load_model(reference(name)))


def test_a_part_of_a_step_that_begins_behind_the_heads_knows_of_none(tmp_path: Path) -> None:
    """With the heads inside the step, a sum is split between them; a step that begins after them is split evenly."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["made"]),
        helper.make_node("Reshape", ["made", "heads"], ["apart"]),
        helper.make_node("Softmax", ["apart"], ["weighed"]),
        helper.make_node("Reshape", ["weighed", "flat"], ["together"]),
        helper.make_node("MatMul", ["together", "w"], ["y"]),
    ]
    stored = {"w": np.eye(16, dtype=np.float32), "heads": np.array([8, 4, 4]), "flat": np.array([8, 16])}
    weights = [numpy_helper.from_array(array, name) for name, array in stored.items()]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [8, 16]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "heads", ends[:1], ends[1:], weights)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "heads.onnx")
    taken = _check(load_model(tmp_path / "heads.onnx"))
    assert {share for share in taken if share.axis == 1} >= {Share("together", 1, 0, 6), Share("together", 1, 6, 11)}


def _check(model: Model) -> set[Share]:
    """Compare all parts of all candidates with separate propagations; return what they read."""
    taken: set[Share] = set()
    layers = layers_of(model)
    sizes = {name: size for layer in layers for size, name in enumerate(_tensors(model, layer), start=7)}
    weights = {
        name: WeightProfile(name, 8, 1000 + at, 2000 + at) for at, name in enumerate(model.ir.graph.initializers)
    }
    walks = BackwardPass(model, layers)
    writer = Writer(model, layers, walks, weights, sizes)
    positions = [0, *(cut.index for cut in cut_positions(model, layers)), len(layers)]
    for count in COUNTS:
        steps = list(candidate_steps(model, layers, [1.0] * len(layers), positions, count, walks))
        written = writer.written(steps)
        assert len(written) == len(steps)
        for step, found in zip(steps, written, strict=True):
            for part in found.parts:
                said = (part.part, part.resident_bytes, part.file_bytes, part.activation_bytes)
                assert _in_order(said[0]) == _in_order(_place(model, layers, step, part.part))
                assert said[1:] == _figures(model, layers, step, part.part, weights, sizes), step
                taken.update(part.part.inputs)
    return taken


def _alone(model: Model, layers: Sequence[Layer], step: Step, part: GraphPart) -> tuple[Propagation, list[ir.Value]]:
    """One part's backward propagation through a step's layers only; what leaves them is given."""
    nodes = model.nodes[layers[step.start].start : layers[step.stop - 1].stop]
    made = {value for node in nodes for value in node.outputs}
    leaving = [value for value in BackwardPass(model, layers).boundaries.leaving(step.stop) if value in made]
    wanted = {value: piece for value, piece in step.layout.wanted[part.index].items() if value in made}
    return propagate(nodes, wanted, leaving, Part(part.index, part.count)), leaving


def _place(model: Model, layers: Sequence[Layer], step: Step, part: GraphPart) -> GraphPart:
    found, leaving = _alone(model, layers, step, part)
    inputs = [share_of(name_of(value), piece) for value, piece in _entering(found).items()]
    outputs = [share_of(name_of(value), found.wanted[value]) for value in leaving if value in found.wanted]
    return replace(part, inputs=tuple(inputs), outputs=tuple(outputs))


def _entering(found: Propagation) -> Mapping[ir.Value, Piece]:
    made = {output for node in found.shards for output in node.outputs}
    return {value: piece for value, piece in found.needs.items() if value not in made and not is_weight(value)}


def _figures(
    model: Model,
    layers: Sequence[Layer],
    step: Step,
    part: GraphPart,
    weights: Mapping[str, WeightProfile],
    sizes: Mapping[str, int],
) -> tuple[int, int, int]:
    """Weights resident and in the file, and peak bytes of tensors, for the run of layers as a whole."""
    found, _ = _alone(model, layers, step, part)
    held = [
        (weights[name_of(value)], fraction(value, piece)) for value, piece in found.needs.items() if is_weight(value)
    ]
    crossing = [
        round(sizes.get(name_of(value), 0) * fraction(value, piece.hull()))
        for value, piece in (*_entering(found).items(), *found.wanted.items())
    ]
    run = [one for layer in layers[step.start : step.stop] for one in operations_of(model, layer)]
    inner = dict.fromkeys((name for one in run for name in (*one.reads, *one.makes)), 0)
    for node, how in found.shards.items():
        for value, piece in zip(node.outputs, how.outputs, strict=True):
            if value.name and piece is not None and value not in found.wanted:
                inner[value.name] = round(sizes.get(value.name, 0) * fraction(value, piece))
    live = live_bytes(run, inner, [], [], len(layers))
    return (
        round(sum(weight.resident_bytes * share for weight, share in held)),
        round(sum(weight.file_bytes * share for weight, share in held)),
        max(live[step.start : step.stop]) + sum(crossing),
    )


def _tensors(model: Model, layer: Layer) -> list[str]:
    return [name for step in operations_of(model, layer) for name in (*step.reads, *step.makes)]


def _in_order(part: GraphPart) -> GraphPart:
    def key(share: Share) -> str:
        return share.tensor

    return replace(part, inputs=tuple(sorted(part.inputs, key=key)), outputs=tuple(sorted(part.outputs, key=key)))


def _products(path: Path, count: int) -> tuple[Model, tuple[Layer, ...]]:
    """A chain of products of 8 rows, each of which can be split."""
    weights = [numpy_helper.from_array(np.eye(8, dtype=np.float32), f"w{at}") for at in range(count)]
    names = ["x", *(f"t{at}" for at in range(1, count)), "y"]
    nodes = [helper.make_node("MatMul", [names[at], f"w{at}"], [names[at + 1]]) for at in range(count)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [8, 8]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "products", ends[:1], ends[1:], weights)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    model = load_model(path)
    return model, layers_of(model)


def test_propagations_are_linear_in_layers_and_steps_are_limited(tmp_path: Path) -> None:
    """Without timing: how often a layer is visited, and how many steps a profile lists."""
    propagations, steps = [], []
    for count in (100, 200, 400):
        model, layers = _products(tmp_path / f"{count}.onnx", count)
        assert len(layers) == count
        walks = BackwardPass(model, layers)
        some = range(0, count + 1, count // 50)
        assert sum(1 for _ in candidate_steps(model, layers, [1.0] * count, some, 2, walks)) > 1000
        propagations.append(walks.propagations)
        timed = [LayerProfile(at, (), (), (), 1.0, 0.0, 0, 0) for at in range(count)]
        cuts = [CutPosition(at, (f"t{at}",), 256) for at in range(1, count)]
        steps.append(len(shard_steps(model, layers, timed, [], cuts, {}, parts=(2,))))
    assert propagations[1] <= 2 * propagations[0]
    assert propagations[2] <= 2 * propagations[1]
    assert max(propagations[at] / count for at, count in enumerate((100, 200, 400))) <= 20
    assert max(steps) <= 97 * 98 / 2


def _contrary() -> ShardStep:
    """Parts that read the same tensors in different orders, and produce a summand."""
    parts = []
    for at, names in enumerate(("abc", "cba", "b")):
        taken = tuple(Share(name, 0, at, at + 1) if name != "c" else Share(name) for name in names)
        place = GraphPart(at, 3, taken, (Share("y", summand=True), Share("z", 1, at, at + 2)))
        parts.append(PartProfile(place, 0.5 + at / 10, 10 + at, 20 + at, 30 + at))
    return ShardStep(0, 2, "contrary", tuple(parts))


def test_a_file_keeps_every_part_as_it_was() -> None:
    profile = replace(chain(2), shards=(_contrary(), replace(_contrary(), start=1)))
    assert profile_from_json(profile_json(profile), what="profile") == profile


def test_a_step_of_a_file_has_figures_of_every_part() -> None:
    document = profile_json(replace(chain(2), shards=(_contrary(),))).replace(b"[10,11,12]", b"[10,11]")
    with pytest.raises(ProfileError, match="the step of layers 0 to 2 has figures of 3 parts") as caught:
        profile_from_json(document, what="profile.json")
    assert "\n" not in str(caught.value)
