"""Plans whose parallel branches stand in another order than the model's."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from mopar.bundle import build, open_bundle
from mopar.graph import Layer, Model, layers_of, load_model, reordered
from mopar.measurement.recording import record
from mopar.nodes import reads_of
from mopar.types import ModelError, UsageError
from tests.bundle.plans import chain
from tests.graph.composed import assert_equal, run_file
from tests.models import sample_inputs


def needs_of(model: Model, layers: tuple[Layer, ...]) -> list[set[int]]:
    """The layers whose tensors each layer reads."""
    makers = {
        value: layer.index
        for layer in layers
        for node in model.nodes[layer.start : layer.stop]
        for value in node.outputs
    }
    return [
        {
            makers[value]
            for node in model.nodes[layer.start : layer.stop]
            for value in reads_of(node, model.ir.graph)
            if value in makers
        }
        - {layer.index}
        for layer in layers
    ]


def some_order(needs: list[set[int]], seed: int) -> tuple[int, ...]:
    """A random order, not the canonical one, in which every layer stands behind those it reads from."""
    rng, order = random.Random(seed), list[int]()
    while order == sorted(order):
        order = []
        while len(order) < len(needs):
            ready = [number for number, need in enumerate(needs) if number not in order and need <= set(order)]
            order.append(rng.choice(ready))
    return tuple(order)


@pytest.mark.parametrize("name", ["towers", "inception", "multi_output", "two_input"])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_bundle_of_another_order_answers_as_the_whole_model(
    reference: Callable[[str], Path], tmp_path: Path, name: str, seed: int
) -> None:
    path = reference(name)
    model, feeds = load_model(path), sample_inputs(name)
    order = some_order(needs_of(model, layers_of(model)), seed)
    plan = chain(model, [len(order) // 3, 2 * len(order) // 3], order=order)
    build(model, plan, tmp_path / "b")
    bundle = open_bundle(tmp_path / "b")
    assert bundle.manifest.plan.order == order
    assert_equal(record(bundle, feeds).outputs, run_file(path, feeds), f"{name} in order {order}")


def test_a_function_holds_the_layers_of_its_order(reference: Callable[[str], Path], tmp_path: Path) -> None:
    """The second tower before the first: the first function has its weights, and no others."""
    model = load_model(reference("towers"))
    layers = layers_of(model)
    needs = needs_of(model, layers)
    right = [layer.index for layer in layers if 0 not in _reaches(needs, layer.index)]
    rest = [number for number in range(len(layers)) if number not in right]
    assert right[0] > 0, "the canonical order begins with the other tower"
    plan = chain(model, [len(right)], order=(*right, *rest))
    assert plan.layers_of(plan.graphs[0]) == tuple(right)
    assert plan.graphs[0].inputs == ("item",)
    held = [weight for number in right for weight in layers[number].weights]
    build(model, plan, tmp_path / "b")
    part = onnx.load(tmp_path / "b" / "graphs" / "f0-g0.onnx", load_external_data=False)
    assert {weight.name for weight in part.graph.initializer} == set(held)


def _reaches(needs: list[set[int]], layer: int) -> set[int]:
    """The layers without needs of their own that a layer follows from."""
    return set().union(*(_reaches(needs, need) for need in needs[layer])) if needs[layer] else {layer}


def test_an_order_that_cannot_run_is_refused(reference: Callable[[str], Path], tmp_path: Path) -> None:
    model = load_model(reference("mlp"))
    layers = layers_of(model)
    backwards = tuple(range(len(layers)))[::-1]
    with pytest.raises(ModelError, match=r"layer 3 reads .*, which layer 2 makes: it cannot run before it"):
        reordered(model, layers, backwards)
    plan = chain(model, [1])
    with pytest.raises(ModelError, match="cannot run before it"):
        build(model, replace(plan, order=backwards), tmp_path / "b")
    with pytest.raises(UsageError, match="layers once"):
        build(model, replace(plan, order=(0,) * len(layers)), tmp_path / "b")
