"""Metrics of answers, against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopar.gateway.arrays import Array
from mopar.pipeline.codecs.accuracy import loss_of, metric_of, relative_error
from mopar.types import UsageError


def answers(*values: Array) -> list[dict[str, Array]]:
    return [{"y": value} for value in values]


def unit(*shape: int) -> Array:
    rows = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows


@pytest.mark.parametrize(
    ("value", "metric"),
    [
        (np.array([[1.0, 3.0, 2.0]], np.float32), "top1"),
        (np.zeros((1, 5, 16), np.float32), "argmax"),
        (np.zeros((1, 5, 4), np.float32), "relative"),
        (np.array([[0.3]], np.float32), "relative"),
        (unit(1, 384), "cosine"),
        (unit(1, 5, 64), "cosine"),
        (np.array([[1, 2]], np.int64), "equal"),
        (np.zeros((1, 21, 65, 65), np.float32), "argmax"),
        (np.zeros((1, 16, 3, 3, 3), np.float32), "argmax"),
        (np.zeros((1, 1, 224, 224), np.float32), "relative"),
        (np.ones((1, 1, 224, 224), np.float32), "relative"),
        (np.zeros((1, 3, 224, 224), np.float32), "relative"),
        (np.moveaxis(unit(1, 8, 8, 64), -1, 1), "cosine"),
        (np.ones((1, 1), np.float32), "relative"),
        (np.zeros((16,), np.float32), "relative"),
        (np.zeros((), np.float32), "relative"),
    ],
)
def test_the_metric_that_suits(value: Array, metric: str) -> None:
    assert metric_of(answers(value), "y") == metric


@pytest.mark.parametrize("metric", ["argmax", "cosine"])
@given(seed=st.integers(0, 1 << 16), sizes=st.lists(st.integers(1, 5), min_size=2, max_size=3))
def test_rows_of_a_map_are_its_channels(metric: str, seed: int, sizes: list[int]) -> None:
    """As of the same rows one after the other, which have the last axis."""
    random = np.random.default_rng(seed)
    rows = [random.normal(size=(2, *sizes, 16)) for _ in ("got", "want")]
    maps = [np.moveaxis(value, -1, 1) for value in rows]
    listed = [value.reshape(2, -1, 16) for value in rows]
    (_, of_maps), (_, of_rows) = (loss_of(answers(got), answers(want), metric) for got, want in (maps, listed))
    assert of_maps == pytest.approx(of_rows)


def test_agreement_of_the_largest() -> None:
    want = answers(*(2 * np.eye(4, dtype=np.float32)[[place]] for place in (0, 1, 2, 3)))
    got = answers(*(2 * np.eye(4, dtype=np.float32)[[place]] for place in (0, 1, 2, 0)))
    metric, points = loss_of(got, want)
    assert metric == "top1"
    assert points == pytest.approx(25.0)
    assert loss_of(want, want, "top1") == ("top1", 0.0)


def test_cosine_of_rows() -> None:
    want, got = answers(np.array([[1.0, 0.0], [0.0, 1.0]])), answers(np.array([[1.0, 0.0], [1.0, 1.0]]))
    metric, points = loss_of(got, want)
    assert metric == "cosine"
    assert points == pytest.approx(100 * (1 - np.sqrt(0.5)) / 2)


def test_relative_error_counts_all_requests_together() -> None:
    want, got = answers(np.array([3.0]), np.array([4.0])), answers(np.array([3.0]), np.array([3.5]))
    metric, points = loss_of(got, want)
    assert metric == "relative"
    assert points == pytest.approx(10.0)
    assert relative_error(got, want) == pytest.approx(0.1)


def test_the_output_that_loses_most_counts() -> None:
    want = [{"a": np.array([[1.0, 0.5]], np.float32), "b": np.array([[1, 2]])}]
    got = [{"a": np.array([[0.2, 0.5]], np.float32), "b": np.array([[1, 3]])}]
    assert loss_of(got, want) == ("top1", 100.0)
    assert loss_of(got, want, "equal") == ("equal", 50.0)


def test_a_metric_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match="choose from argmax, cosine, equal, relative, top1"):
        loss_of(answers(np.ones(1)), answers(np.ones(1)), "bleu")


def test_classes_of_which_there_is_one_are_refused() -> None:
    one = answers(np.ones((1, 1, 4, 4)))
    with pytest.raises(UsageError, match="--accuracy-metric argmax: the model's answers have one entry a row"):
        loss_of(one, one, "argmax")
