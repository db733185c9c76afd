"""Metrics of answers, against their definitions."""

import numpy as np
import pytest

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
    ],
)
def test_the_metric_that_suits(value: Array, metric: str) -> None:
    assert metric_of(answers(value), "y") == metric


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
