"""The trained autoencoder: as PyTorch computes it, never worse than where it starts, the same each time."""

import functools
import sys
from dataclasses import replace

import numpy as np
import pytest

from mopar.codecs import Fitted, codec_of, pair_model
from mopar.codecs.autoencoder.state import State, exported, initial
from mopar.types import Dim, UsageError
from tests.codecs.test_graph_codecs import Floats, run, sent_and_back, spec_of

AUTOENCODER, LINEAR = codec_of("autoencoder"), codec_of("linear")
KINDS: dict[str, tuple[tuple[Dim, ...], int]] = {"pictures": ((1, 24, "h", "w"), 1), "tokens": (("n", "s", 24), 2)}


def bent(kind: str, seed: int) -> Floats:
    """Values on a curved surface: few numbers make each place's channels, and no plane holds them."""
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(9).normal(size=(3, 24))
    places = np.maximum(random.normal(size=(1, 9, 7, 3)) @ mixing, 0).astype(np.float32)
    return np.ascontiguousarray(places.transpose(0, 3, 1, 2)) if kind == "pictures" else places.reshape(1, 63, 24)


def fitted(name: str, kind: str, number: int = 3) -> Fitted:
    spec = spec_of(KINDS[kind][0])
    samples = [bent(kind, seed) for seed in range(16)]
    return codec_of(name).fit(f"{name}:{number}", spec, samples)


@functools.cache
def trained(kind: str) -> State:
    """Trained once for all tests."""
    from mopar.codecs.autoencoder import training

    shape, axis = KINDS[kind]
    samples = [bent(kind, seed) for seed in range(16)]
    return training.trained(initial("autoencoder:3", spec_of(shape), samples), samples, axis)


def squared_error(made: Fitted, values: Floats) -> float:
    return float(np.mean(np.square(run(pair_model(made), [values])[0] - values)))


@pytest.mark.models
@pytest.mark.parametrize("kind", KINDS)
def test_nodes_compute_what_training_did(kind: str) -> None:
    """The graph's code and values are those of PyTorch's own forward pass, on values not seen before."""
    import torch

    from mopar.codecs.autoencoder import training

    (shape, axis), state = KINDS[kind], trained(kind)
    made = replace(AUTOENCODER.unfitted("autoencoder:3", spec_of(shape), [bent(kind, 0)]), arrays=exported(state))
    values = bent(kind, 99)
    (codes,), got = sent_and_back(made, spec_of(shape), values)
    weights = {name: torch.from_numpy(array) for name, array in state.weights.items()}
    (batch,) = training._normalised(state, [values], axis)
    with torch.no_grad():
        want_codes = training.encoded(weights, batch)
        want = training.decoded(weights, want_codes).numpy() * state.scale
    want += state.mean.reshape(-1, *[1] * (want.ndim - 2))
    same = np.isclose(codes.reshape(want_codes.shape), want_codes.numpy() * 127, atol=1e-3)
    assert same.mean() > 0.99  # others lie between two codes
    assert np.quantile(np.abs(got.reshape(want.shape) - want), 0.98) < 1e-4


@pytest.mark.models
@pytest.mark.parametrize("kind", KINDS)
def test_it_loses_less_than_the_linear_one_where_values_are_bent(kind: str) -> None:
    """And the same each time."""
    made, linear = fitted("autoencoder", kind), fitted("linear", kind)
    apart = bent(kind, 99)
    assert squared_error(made, apart) < 0.8 * squared_error(linear, apart)
    before = exported(trained(kind))
    assert made.arrays.keys() == before.keys()
    for name, array in made.arrays.items():
        np.testing.assert_array_equal(array, before[name])


def test_what_training_starts_from_is_the_linear_one() -> None:
    from mopar.codecs.autoencoder import AUTOENCODER as CODEC

    for kind, (shape, _) in KINDS.items():
        samples = [bent(kind, seed) for seed in range(4)]
        start = CODEC.untrained("autoencoder:3", spec_of(shape), samples)
        want = run(pair_model(LINEAR.fit("linear:3", spec_of(shape), samples)), [samples[0]])[0]
        got = run(pair_model(start), [samples[0]])[0]
        assert np.quantile(np.abs(got - want), 0.98) < 1e-4
        assert AUTOENCODER.codes(start, spec_of(shape))[0].shape == LINEAR.codes(start, spec_of(shape))[0].shape


def test_without_pytorch_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(
        UsageError, match=r'codec autoencoder: PyTorch cannot be imported .* pip install "mopar\[torch\]"'
    ):
        fitted("autoencoder", "tokens")
