"""The reference models are what the other tests believe them to be."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from tests.models import MODELS, materialise, sample_inputs, small_names
from tests.models.registry import Arrays

DEEP = [item.name for item in MODELS.values() if item.deep]
EVERY = [*small_names(), *(pytest.param(name, marks=pytest.mark.models) for name in DEEP)]


def answers(model: Path | bytes, inputs: Arrays) -> list[NDArray[Any]]:
    session = ort.InferenceSession(
        model if isinstance(model, bytes) else str(model), providers=["CPUExecutionProvider"]
    )
    result: list[NDArray[Any]] = session.run(None, inputs)
    return result


def change(one: list[NDArray[Any]], other: list[NDArray[Any]]) -> float:
    """The largest relative change of any output that is made of floats; 1 where sizes differ."""
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if a.dtype.kind == "f"]
    if any(a.shape != b.shape for a, b in pairs):
        return 1.0
    return max(float(np.max(np.abs(a - b)) / np.max(np.abs(a))) for a, b in pairs)


@pytest.mark.parametrize("name", EVERY)
def test_answers_depend_on_every_input(name: str) -> None:
    """A model that ignores an input would let a wrong cut pass."""
    path, inputs, others = materialise(name), sample_inputs(name, 0), sample_inputs(name, 1)
    want = answers(path, inputs)
    for key in inputs:
        assert change(want, answers(path, {**inputs, key: others[key]})) > 1e-3, key


@pytest.mark.models
@pytest.mark.parametrize("name", ["resnet50", "minilm", "bilstm"])
def test_a_zeroed_middle_layer_moves_the_output(name: str) -> None:
    """Else composed slices that drop a layer would still be 'equal' within 1e-4."""
    path, inputs = materialise(name), sample_inputs(name)
    model = onnx.load(path)
    matrices = [item for item in model.graph.initializer if len(item.dims) > 1]
    middle = matrices[len(matrices) // 2]
    middle.CopyFrom(numpy_helper.from_array(np.zeros(middle.dims, np.float32), middle.name))
    assert change(answers(path, inputs), answers(model.SerializeToString(), inputs)) > 1e-2


@pytest.mark.models
def test_minilm_keeps_its_meaning_through_onnx() -> None:
    """Real weights: sentences of one meaning are closer than others, and padding changes nothing."""
    from examples.minilm import tokenize

    path = materialise("minilm")
    tokens = tokenize(["A man is playing a guitar.", "Somebody plays the guitar.", "The stock market fell today."])
    vectors = answers(path, dict(tokens))[0]
    near, far = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert near > 0.7
    assert far < 0.3
    alone = answers(path, dict(tokenize(["Somebody plays the guitar."])))[0]
    np.testing.assert_allclose(alone[0], vectors[1], atol=1e-5)
