"""What is decoded is close to what was encoded, by graphs that the engine runs, for any values and sizes."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from mopar.codecs import Fitted, code_bytes, codec_of, coder_models, pair_model
from mopar.codecs.nodes import Nodes
from mopar.types import Dim, TensorSpec, UsageError

Floats = NDArray[np.float32]
OPSETS = (13, 17, 18, 21)
SHAPES: tuple[tuple[Dim, ...], ...] = ((1, 32, 14, 14), ("n", "s", 48), (1, 64), (7,), ())


def spec_of(shape: tuple[Dim, ...]) -> TensorSpec:
    return TensorSpec("t", "float32", shape)


def sample(shape: tuple[Dim, ...], seed: int = 0) -> Floats:
    """Values of which few directions explain most, with ranges that differ by channel."""
    sizes = [dim if isinstance(dim, int) else 3 + 5 * place for place, dim in enumerate(shape)]
    random = np.random.default_rng(seed)
    axis = min(1, len(sizes) - 1) if len(sizes) > 3 else len(sizes) - 1
    if len(sizes) < 2:
        return np.asarray(random.normal(size=sizes), np.float32)
    channels, rank = sizes[axis], max(sizes[axis] // 8, 1)
    mixing = np.random.default_rng(9).normal(size=(rank, channels)) * np.logspace(-2, 1, channels)
    places = random.normal(size=[*sizes[:axis], *sizes[axis + 1 :], rank]) @ mixing
    return np.moveaxis(places, -1, axis).astype(np.float32)


def sent_and_back(
    fitted: Fitted, spec: TensorSpec, values: Floats, opset: int = 17
) -> tuple[list[NDArray[Any]], Floats]:
    """The codes of a tensor, and the tensor decoded, each by a session of its own."""
    encoder, decoder = coder_models(fitted, opset)
    found = run(encoder, [values])
    assert len(found) == len(codec_of(fitted.text).codes(fitted, spec))
    return found, run(decoder, found)[0]


def run(model: bytes, values: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    given_values = [
        ort.OrtValue.ortvalue_from_numpy(value) if not isinstance(value, ort.OrtValue) else value for value in values
    ]
    feeds = dict(zip([item.name for item in session.get_inputs()], given_values, strict=True))
    found = session.run_with_ort_values(None, feeds)
    return [item if item.element_type() == 16 else item.numpy() for item in found]  # numpy has no bfloat16


def error(got: Floats, want: Floats) -> float:
    return float(np.max(np.abs(got - want), initial=0.0) / max(np.max(np.abs(want), initial=0.0), 1e-30))


@pytest.mark.parametrize(("opset", "shape"), list(itertools.product(OPSETS, SHAPES)))
def test_every_codec_that_is_offered_keeps_values(opset: int, shape: tuple[Dim, ...]) -> None:
    spec = spec_of(shape)
    samples = [sample(shape, seed) for seed in range(3)]
    values = sample(shape, 7)
    largest = max(float(np.max(np.abs(value))) for value in samples)
    tolerance = {
        "fp16": 1e-3,
        "bf16": 8e-3,
        "int8": 5e-3,
        "int8-static": 0.2,
        "int4": 0.08,
        "linear": 0.2,
        "uniform": 0.45,
    }
    offered = 0
    for name, most in tolerance.items():
        codec = codec_of(name)
        if opset < codec.least_opset:
            continue
        for text in codec.offers(spec, samples):
            offered += 1
            fitted = codec.fit(text, spec, samples)
            codes, got = sent_and_back(fitted, spec, values, opset)
            assert got.shape == values.shape
            if name != "linear" or fitted.parameter >= sample(shape).shape[fitted.axis or 0] // 8:
                assert error(got, values) <= most * max(1.0, largest / np.max(np.abs(values))), text
            assert codec.codes(codec.unfitted(text, spec, samples), spec) == codec.codes(fitted, spec)
            np.testing.assert_array_equal(run(pair_model(fitted, opset), [values])[0], got)
            for code, sent in zip(codec.codes(fitted, spec), codes, strict=True):
                shape_sent = sent.shape() if isinstance(sent, ort.OrtValue) else sent.shape
                assert len(shape_sent) == len(code.shape or ())
    assert offered >= 4


@settings(deadline=None, max_examples=150)
@given(arrays(np.float32, array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
              elements=st.floats(-1e4, 1e4, width=32)))  # fmt: skip
def test_ranges_are_found_in_any_values(values: Floats) -> None:
    spec = spec_of(values.shape)
    for name in ("int8", "int4"):
        fitted = codec_of(name).fit(name, spec, [values])
        (_, scale, *_), got = sent_and_back(fitted, spec, values)
        steps = np.max(scale, initial=0.0)
        assert got.shape == values.shape
        assert np.max(np.abs(got - values), initial=0.0) <= steps * 1.01 + 1e-30


@pytest.mark.parametrize("shape", [(2, 32, 9, 14), (3, 7, 48)])
def test_shares_decode_to_what_the_tensor_does(shape: tuple[int, ...]) -> None:
    """With ranges of their own, within a step of the tensor's; otherwise to the same values, however they are cut."""
    spec = spec_of(shape)
    samples, values = [sample(shape, seed) for seed in range(3)], sample(shape, 7)
    step = float(np.max(values) - np.min(values))
    off = {"fp16": 0.0, "bf16": 0.0, "int8": step / 255, "int8-static": 0.0, "int4": step / 15, "linear": 1e-6 * step}
    off |= {"uniform": 0.0}
    for name, most in off.items():
        codec = codec_of(name)
        text = list(codec.offers(spec, samples))[-1]
        fitted = codec.fit(text, spec, samples)
        axes = codec.share_axes(fitted)
        assert codec.share_axes(codec.unfitted(text, spec, samples)) == axes
        assert set(axes) == set(range(len(shape))) - ({fitted.axis} if name == "linear" else set())
        (whole,) = run(pair_model(fitted), [values])
        for axis in axes:
            cut, size = shape[axis] // 3, shape[axis]
            halves = np.split(values, [cut], axis)
            shares = [codec.of_share(fitted, axis, *span) for span in ((0, cut), (cut, size))]
            found = [run(pair_model(share), [half])[0] for share, half in zip(shares, halves, strict=True) if half.size]
            assert float(np.max(np.abs(np.concatenate(found, axis) - whole))) <= most, (name, axis)


def test_neighbours_in_pictures_are_in_no_other_share() -> None:
    codec = codec_of("autoencoder")
    assert list(codec.share_axes(Fitted("autoencoder:4", 4, 1))) == [0]
    assert list(codec.share_axes(Fitted("autoencoder:4", 3, 2))) == [0, 1]


@pytest.mark.parametrize("name", ["int8", "int8-static", "uniform"])
def test_the_engine_takes_no_decoder_into_a_kernel_of_one_scale(name: str) -> None:
    """A product of two decoded tensors, and a pool between a decoder and an encoder, with scales by channel."""
    codec, values = codec_of(name), sample((2, 32, 8, 8))
    *_, text = codec.offers(spec_of((2, 32, 8, 8)), [values])
    fitted = codec.fit(text, spec_of((2, 32, 8, 8)), [values])
    assert fitted.axis == 1
    value = ir.Value(name="t", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([None] * 4))
    graph = ir.Graph([value], [], nodes=[], opset_imports={"": 17}, name="kernels")
    nodes = Nodes(graph, "n")
    left, right = (codec.decode(nodes, codec.encode(nodes, value, fitted), fitted) for _ in range(2))
    product = nodes.add("MatMul", left, right, rank=4)
    pooled = nodes.add("AveragePool", left, rank=4, kernel_shape=(2, 2))
    graph.outputs.extend([product, codec.decode(nodes, codec.encode(nodes, pooled, fitted), fitted)])
    graph.extend(nodes.made)
    model = ir.to_proto(ir.Model(graph, ir_version=8)).SerializeToString()
    (back,) = run(pair_model(fitted), [values])
    got = run(model, [values])
    np.testing.assert_allclose(got[0], np.matmul(back, back), rtol=1e-4, atol=1e-4 * float(np.max(np.abs(got[0]))))
    assert got[1].shape == (2, 32, 7, 7)


def test_a_linear_code_of_all_that_varies_loses_only_what_rounding_does() -> None:
    shape: tuple[Dim, ...] = (1, 32, 14, 14)
    samples = [sample(shape, seed) for seed in range(4)]
    codec = codec_of("linear")
    errors = []
    for text in codec.offers(spec_of(shape), samples):
        fitted = codec.fit(text, spec_of(shape), samples)
        errors.append(error(sent_and_back(fitted, spec_of(shape), samples[0])[1], samples[0]))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02  # 4 of 32 directions are all that varies


def test_bytes_of_codes() -> None:
    spec = spec_of((1, 32, 14, 14))
    samples, elements = [sample(spec.shape or ())], 32 * 14 * 14
    found = {}
    for name, text in (
        ("fp16", "fp16"),
        ("int8", "int8"),
        ("int8-static", "int8-static"),
        ("uniform", "uniform:30"),
        ("int4", "int4"),
        ("linear", "linear:4"),
    ):
        found[name] = code_bytes(codec_of(name).codes(codec_of(name).unfitted(text, spec, samples), spec))
    assert found.pop("int8") == elements + 32 * 5
    assert found.pop("int4") == elements // 2 + 32 * 8 + 4 * 8
    assert found == {"fp16": 2 * elements, "int8-static": elements, "uniform": elements, "linear": elements // 8}


def test_a_codec_that_is_not_there_is_named() -> None:
    for text in ("zip", "linear:x", "", "zip+blosc2:zstd-shuffle"):
        with pytest.raises(UsageError, match="choose from fp16"):
            codec_of(text)
    for text in ("uniform:5+zip", "uniform:5+"):
        with pytest.raises(UsageError, match="choose what compresses its codes from blosc2:lz4-shuffle"):
            codec_of(text)
