"""The small reference models have the features that other tests rely on; the zoo has tests of its own."""

import pytest

from tests.models import materialise, sample_inputs, small_names
from tests.models.answers import answers, change


@pytest.mark.parametrize("name", small_names())
def test_answers_depend_on_every_input(name: str) -> None:
    """A wrong cut would go unnoticed in a model that ignores an input."""
    path, inputs, others = materialise(name), sample_inputs(name, 0), sample_inputs(name, 1)
    want = answers(path, inputs)
    for key in inputs:
        assert change(want, answers(path, {**inputs, key: others[key]})) > 1e-3, key
