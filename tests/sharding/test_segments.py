"""Real models in parts: any run of layers, along every layout, computes what the model computes there."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mopar.graph import load_model
from mopar.zoo import zoo_models
from tests.models import sample_inputs, small_names
from tests.sharding.segments import PARTS, check_segments, longest_steps, random_segments, single_layers, traced

ZOO = [model.name for model in zoo_models() if model.in_mean]


@pytest.mark.parametrize("name", small_names())
def test_small_models(reference: Callable[[str], Path], name: str) -> None:
    case = traced(load_model(reference(name)), sample_inputs(name))
    assert check_segments(case, [*single_layers(case), *random_segments(case, 5, seed=0)]) > 0
    for parts in PARTS:
        check_segments(case, longest_steps(case, parts), [parts])


@pytest.mark.slow
@pytest.mark.models
@pytest.mark.parametrize("name", ZOO)
def test_each_layer(reference: Callable[[str], Path], name: str) -> None:
    case = traced(load_model(reference(name)), sample_inputs(name))
    segments = single_layers(case)
    assert check_segments(case, segments) >= len(segments)


@pytest.mark.slow
@pytest.mark.models
@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("name", ZOO)
def test_longest_steps(reference: Callable[[str], Path], name: str, parts: int) -> None:
    case = traced(load_model(reference(name)), sample_inputs(name))
    segments = longest_steps(case, parts)
    assert check_segments(case, segments, [parts]) >= len(segments)


@pytest.mark.slow
@pytest.mark.models
@pytest.mark.parametrize("name", ZOO)
def test_random_segments(reference: Callable[[str], Path], name: str) -> None:
    case = traced(load_model(reference(name)), sample_inputs(name))
    assert check_segments(case, random_segments(case, 20, seed=0)) > 0
