"""Plans of random models build, and compute the model's outputs; ``benchmarks.drawn_models`` checks thousands."""

import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from mopar.sharding.rules.windows import Windows
from tests.models.drawn import FAMILIES, Outcome, check, draw
from tests.models.drawn.composed import whole

COUNT = 200
PARTS_SHARE, SPLIT_SHARE = 1 / 3, 2 / 3
CONVOLUTIONS = {"hourglass", "images"}
"""Families whose plans cut convolutions with halos."""


def one(seed: int) -> Outcome:
    warnings.simplefilter("error", RuntimeWarning)  # a mistake of a sharding rule
    return check(seed)


@pytest.mark.parametrize(
    "seeds", [range(COUNT // 2), pytest.param(range(COUNT // 2, COUNT), marks=pytest.mark.slow)], ids=["some", "others"]
)
def test_every_plan_builds_and_answers_right(seeds: range) -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("forkserver")) as pool:
        found = list(pool.map(one, seeds, chunksize=5))
    assert [(one.seed, line) for one in found for line in one.failures] == []
    plans = sum(one.plans for one in found)
    assert plans > 4 * len(seeds)
    assert sum(one.split for one in found) > SPLIT_SHARE * plans
    assert sum(one.with_parts for one in found) > PARTS_SHARE * plans
    assert len({one.family for one in found}) == len(set(FAMILIES))


def test_an_answer_that_is_wrong_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Windows.input_of

    def moved(self: Windows, number: int, outputs: tuple[int, int]) -> tuple[tuple[int, int], int, int] | None:
        found = right(self, number, outputs)
        return None if found is None else (found[0], found[2], found[1])

    monkeypatch.setattr(Windows, "input_of", moved)
    assert any(check(seed).wrong for seed in range(COUNT) if draw(seed).family in CONVOLUTIONS)


@pytest.mark.parametrize("seed", range(COUNT, COUNT + 40))
def test_a_drawn_model_answers_finitely_and_by_its_inputs(seed: int) -> None:
    drawn = draw(seed)
    assert draw(seed).model == drawn.model
    data = drawn.model.SerializeToString()
    for point in drawn.points:
        values = drawn.values(point)
        for name, value in whole(data, values).items():
            assert np.isfinite(value).all(), name
            assert value.size == 1 or float(np.ptp(value)) > 0, name
            declared = next(one for one in drawn.model.graph.output if one.name == name).type.tensor_type.shape.dim
            assert [point.get(dim.dim_param, dim.dim_value) for dim in declared] == list(value.shape)
