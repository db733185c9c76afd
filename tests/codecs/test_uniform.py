"""One step for all channels: what graphs make equals numpy's, and errors are at most half a step."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mopar.codecs import CompressedCodec, Fitted, codec_of
from mopar.types import TensorSpec
from tests.codecs.test_graph_codecs import sent_and_back

Floats = NDArray[np.float32]
SHAPES = ((2, 12, 5, 6), (2, 9, 12), (7, 12))


def drawn(shape: tuple[int, ...], axis: int, seed: int, spread: float) -> Floats:
    """Values whose channels differ by as much."""
    widths = np.logspace(-spread, spread, shape[axis]).reshape(
        [-1 if place == axis else 1 for place in range(len(shape))]
    )
    return np.asarray(np.random.default_rng(seed).normal(size=shape) * widths, np.float32)


def fitted_to(text: str, samples: list[Floats]) -> Fitted:
    return codec_of(text).fit(text, TensorSpec("t", "float32", samples[0].shape), samples)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spread", [0.0, 1.5])
@pytest.mark.parametrize("percent", [2, 10, 45])
def test_graphs_do_what_numpy_does(shape: tuple[int, ...], spread: float, percent: int) -> None:
    axis = 1 if len(shape) == 4 else len(shape) - 1
    samples, values = [drawn(shape, axis, seed, spread) for seed in range(2)], drawn(shape, axis, 5, spread)
    fitted = fitted_to(f"uniform:{percent}", samples)
    step = percent / 100 * np.sqrt(np.mean(np.square(np.stack(samples))))
    scale = _by_channel(fitted, len(shape))
    others = None if scale.size == 1 else tuple(place for place in range(len(shape)) if place != fitted.axis)
    largest = np.max([np.max(np.abs(sample), axis=others, keepdims=others is not None) for sample in samples], axis=0)
    np.testing.assert_allclose(scale, np.maximum(step, 1.1 * largest / 127), rtol=1e-5)
    if percent == 45 or len(shape) == 2:
        assert scale.size == 1
    (code,), got = sent_and_back(fitted, TensorSpec("t", "float32", shape), values)
    want = np.clip(np.rint(values / scale), -128, 127)
    assert code.dtype == np.int8
    assert np.mean(code != want) < 1e-2  # values that lie between two codes are rounded apart by the engine's kernels
    assert np.max(np.abs(code - want)) <= 1
    np.testing.assert_allclose(got, code * scale, rtol=1e-6)
    kept = np.abs(code.astype(int)) < 127
    assert np.all(np.abs(got - values)[kept] <= (scale / 2 * (1 + 1e-4) * np.ones(shape))[kept])


def test_channels_that_need_more_than_8_bits_have_larger_steps_alone() -> None:
    """With 2% of the root mean square as a step, a channel of a hundred times the others' values exceeds 127 steps."""
    samples = [drawn((2, 8, 9, 9), 1, seed, 0.0) for seed in range(3)]
    for sample in samples:
        sample[:, 3] *= 100.0
    fitted = fitted_to("uniform:2", samples)
    scale = fitted.arrays["scale"]
    assert fitted.axis == 1
    others = np.delete(scale, 3)
    assert np.all(others == others[0])
    assert scale[3] == pytest.approx(1.1 * max(np.max(np.abs(sample[:, 3])) for sample in samples) / 127, rel=1e-5)
    assert fitted_to("uniform:45", samples).axis is None


def test_values_that_are_all_0_stay_0() -> None:
    values = np.zeros((1, 3, 4, 4), np.float32)
    _, got = sent_and_back(fitted_to("uniform:30", [values]), TensorSpec("t", "float32", values.shape), values)
    np.testing.assert_array_equal(got, values)


def test_at_the_same_error_codes_have_less_entropy_than_with_a_range_for_each_channel() -> None:
    """Channels of small values cost few bits, where ranges spend as many on all."""
    values = drawn((1, 64, 24, 24), 1, 0, 1.0)
    spec = TensorSpec("t", "float32", values.shape)
    (ranged, *_), back = sent_and_back(fitted_to("int4", [values]), spec, values)
    halves = np.concatenate([ranged % 16, ranged // 16])
    error = np.sqrt(np.mean(np.square(back - values)) / np.mean(np.square(values)))
    percent = int(100 * error * np.sqrt(12))
    (code,), got = sent_and_back(fitted_to(f"uniform:{percent}", [values]), spec, values)
    assert np.sqrt(np.mean(np.square(got - values)) / np.mean(np.square(values))) <= 1.02 * error
    assert _bits(code, 64) < _bits(halves, 64) - 1.0


def test_it_needs_what_compresses_its_codes() -> None:
    assert isinstance(codec_of("uniform:30"), CompressedCodec)
    assert not isinstance(codec_of("int8"), CompressedCodec)


def _by_channel(fitted: Fitted, rank: int) -> Floats:
    scale = fitted.arrays["scale"]
    if fitted.axis is None:
        return np.asarray(scale)
    return np.reshape(scale, [-1 if place == fitted.axis else 1 for place in range(rank)])


def _bits(code: NDArray[np.generic], channels: int) -> float:
    """Entropy of an element, with what is known of each channel."""
    found = []
    for row in code.reshape(channels, -1):
        _, counts = np.unique(row, return_counts=True)
        shares = counts / counts.sum()
        found.append(-np.sum(shares * np.log2(shares)))
    return float(np.mean(found))
