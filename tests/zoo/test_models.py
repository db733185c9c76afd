"""Each model of the zoo matches the catalogue, and depends on each of its inputs and layers."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from mopar.graph import Model, load_model
from mopar.graph.external import tensors_of
from mopar.nodes import is_weight
from mopar.zoo import find_model, zoo_inputs, zoo_models
from tests.models.answers import answers, change

TWELVE = {
    "cnn": ["vgg16", "resnet50", "inception-v3", "efficientnet-b0", "convnext-base"],
    "rnn": ["lstm-lm", "bilstm"],
    "transformer": ["bert-base", "gpt2", "vit-b16"],
    "recommendation": ["dlrm"],
    "graph": ["gcn"],
}
SMALL = {"resnet50", "bilstm", "dlrm", "gcn", "efficientnet-lite0", "ppocr-rec", "ppocr-det", "silero-vad", "minilm"}
"""Models that export in seconds, or that other tests use anyway; the slow suite has the rest."""

EVERY = [
    pytest.param(item.name, marks=[pytest.mark.models, *([] if item.name in SMALL else [pytest.mark.slow])])
    for item in zoo_models()
]
Reference = Callable[[str], Path]


def test_the_mean_is_over_these_twelve() -> None:
    """So that models cannot be chosen by their results."""
    counted = [(item.category, item.name) for item in zoo_models() if item.in_mean]
    assert counted == [(category, name) for category, names in TWELVE.items() for name in names]


@pytest.mark.parametrize("name", EVERY)
def test_a_file_is_as_the_catalogue_says(name: str, reference: Reference) -> None:
    """Figures may differ slightly where another version of torch folds other constants; ``export`` checks shapes."""
    model, file = find_model(name), ir.load(reference(name))
    stored = list(tensors_of(file))
    assert sum(item.nbytes for item in stored) == pytest.approx(model.weight_bytes, rel=0.01)
    floats = [item for item in stored if item.dtype.is_floating_point()]
    assert sum(item.size for item in floats) == pytest.approx(model.parameters, rel=0.01)
    operators = {(node.domain, node.op_type) for node in file.graph.all_nodes()}
    assert {domain for domain, _ in operators} == {""}, "standard operators only"
    assert not {operator for _, operator in operators} & {"Loop", "Scan", "If"}


@pytest.mark.parametrize("name", EVERY)
def test_answers_depend_on_every_input(name: str, reference: Reference) -> None:
    path, inputs, others = reference(name), zoo_inputs(name, 0), zoo_inputs(name, 1)
    want = answers(path, inputs)
    for value, spec in zip(want, find_model(name).outputs, strict=True):
        assert spec.shape is not None
        assert all(size == dim for size, dim in zip(value.shape, spec.shape, strict=True) if isinstance(dim, int))
    for key in inputs:
        assert change(want, answers(path, {**inputs, key: others[key]})) > 1e-2, key


@pytest.mark.parametrize("name", EVERY)
def test_a_zeroed_middle_layer_moves_the_output(name: str, reference: Reference) -> None:
    """Otherwise composed slices that drop a layer would still be 'equal' within 1e-4."""
    path, inputs = reference(name), zoo_inputs(name)
    want = answers(path, inputs)
    model = load_model(path)
    for value in _middle_weights(model):
        assert value.const_value is not None
        zeros = np.zeros(value.const_value.shape.numpy(), value.const_value.dtype.numpy())
        value.const_value = ir.tensor(zeros, name=value.name)
    assert change(want, answers(ir.to_proto(model.ir).SerializeToString(), inputs)) > 1e-2


def _middle_weights(model: Model) -> Iterator[ir.Value]:
    """The weights of the middle node among those with a matrix, a kernel or a table."""
    weighted = [
        node
        for node in model.nodes
        if any(len(value.shape or ()) > 1 and value.dtype == ir.DataType.FLOAT for value in _weights(node))
    ]
    yield from _weights(weighted[len(weighted) // 2])


def _weights(node: ir.Node) -> list[ir.Value]:
    return [value for value in node.inputs if value is not None and is_weight(value)]


@pytest.mark.models
def test_minilm_keeps_its_meaning_through_onnx(reference: Reference) -> None:
    """Real weights: sentences with the same meaning are closer than others, and padding changes nothing."""
    from examples.minilm import tokenize

    path = reference("minilm")
    tokens = tokenize(["A man is playing a guitar.", "Somebody plays the guitar.", "The stock market fell today."])
    vectors = answers(path, tokens)[0]
    near, far = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert near > 0.7
    assert far < 0.3
    alone = answers(path, tokenize(["Somebody plays the guitar."]))[0]
    np.testing.assert_allclose(alone[0], vectors[1], atol=1e-5)
