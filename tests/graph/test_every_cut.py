"""Real models, cut at every position: the composed slices compute the reference model's outputs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.graph.composed import composed_equals_whole
from tests.models import sample_inputs

DEEP = pytest.mark.models
NAMES = [
    pytest.param("two_input", id="two_input"),
    pytest.param("bilstm", id="bilstm", marks=DEEP),
    pytest.param("resnet50", id="resnet50", marks=DEEP),
    pytest.param("minilm", id="minilm", marks=DEEP),
    pytest.param("ppocr-rec", id="ppocr-rec", marks=DEEP),
]


@pytest.mark.parametrize("name", NAMES)
def test_every_tenth_cut(reference: Callable[[str], Path], name: str) -> None:
    composed_equals_whole(reference(name), sample_inputs(name), every=10)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_cut(reference: Callable[[str], Path], name: str) -> None:
    _, layers, cuts = composed_equals_whole(reference(name), sample_inputs(name))
    assert len(cuts) == len(layers) - 1, "nothing but tensors crosses anywhere in these models"
