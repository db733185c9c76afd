"""What a transform across channels would add to codes of one step that Zstd compresses, and what those add to ranges.

    python -m benchmarks.codec_transforms [--models NAME,..] [--slices 3] [--inputs 64] [--steps 5,10,15,20,30,45]
                                          [--json FILE]

Of models with real weights in slices of equal time, all floats that cross are coded alike: in 8 bits with a range for
each channel (`int8`), with one step for all (`uniform:S`), and as the places' coordinates along the channels' principal
directions, with one step for all of these (the Karhunen-Loeve transform: of normal values no other code of places by
themselves takes fewer bits). Fewer bytes are those of the codes as they are, after Blosc2's Zstd, and at the entropy of
what each channel's codes are. The error is relative to the values' root mean square, and points are lost by the model's
answers, both on inputs held apart from those that codes are fitted to.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from benchmarks.coded import predicted_slices
from benchmarks.common import parser, say_where, table, write_raw
from benchmarks.real_inputs import METRICS
from mopar.codecs import codec_of, coder_models
from mopar.gateway.arrays import Array, from_array
from mopar.graph import extract, layers_of, tensor_shapes
from mopar.pipeline.codecs.accuracy import loss_of
from mopar.pipeline.codecs.calibration import Request
from mopar.pipeline.codecs.engine import Session, session_of, tensor_values
from mopar.platforms.codes import encoded
from mopar.types import TensorSpec

_ZSTD, _LARGEST, _MARGIN = "blosc2:zstd-shuffle", 127, 1.1
_AXIS_OF_PICTURES, _RANK_OF_PICTURES = 1, 4
Coder = Callable[[Array], tuple[list[Array], Array]]
"""From a tensor to its codes and to the tensor decoded."""


def main() -> None:
    """Compare for all models."""
    made = parser(__doc__)
    made.add_argument("--models", default="efficientnet-lite0,ppocr-rec,ppocr-det", metavar="NAMES")
    made.add_argument("--slices", type=int, default=3, metavar="K")
    made.add_argument("--inputs", type=int, default=64, metavar="N", help="real inputs, half of them held apart")
    made.add_argument("--steps", default="5,10,15,20,30,45", metavar="S,..", help="percent of the values' RMS")
    arguments = made.parse_args()
    say_where(0)
    columns = ("model", "code", "error, %", "points lost", "as they are", "Zstd", "entropy")
    rows = [row for name in arguments.models.split(",") for row in _of_model(name, arguments)]
    table(columns, rows)
    write_raw(arguments.json, "codec_transforms", {"columns": columns, "rows": rows})


def _of_model(name: str, arguments: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    found = predicted_slices(name, arguments.slices, arguments.inputs)
    model, plan, calibration, sizes = found.model, found.plan, found.calibration, found.sizes
    layers, specs = layers_of(model), tensor_shapes(model)
    fitted = dict(tensor_values(model, layers, sizes, calibration.fitted))
    apart = dict(tensor_values(model, layers, sizes, calibration.held_apart))
    slices = [session_of(extract(model, graph.start, graph.stop, layers)) for graph in plan.graphs]
    outputs = [tensor for tensor, _ in plan.outputs]
    want = [_answer(slices, request, outputs, {}) for request in calibration.held_apart]
    for code, coders in _codes([*map(int, arguments.steps.split(","))], specs, fitted):
        got = [_answer(slices, request, outputs, coders) for request in calibration.held_apart]
        metric, lost = loss_of(got, want, METRICS.get(name))
        row = (name, code, *_figures(coders, apart))
        yield *row[:3], f"{lost:.3g} {metric}", *row[3:]


def _codes(
    steps: Sequence[int], specs: Mapping[str, TensorSpec], fitted: Mapping[str, list[Array]]
) -> Iterator[tuple[str, dict[str, Coder]]]:
    for text in ("int8", *(f"uniform:{step}" for step in steps)):
        yield text, {name: _ours(text, specs[name], values) for name, values in fitted.items()}
    for step in steps:
        yield f"transform, {step}", {name: _transform(step, values) for name, values in fitted.items()}


def _answer(
    slices: Sequence[Session], request: Request, outputs: Sequence[str], coders: Mapping[str, Coder]
) -> dict[str, Array]:
    read = dict(request)
    for one in slices:
        made = one.run(read)
        read.update({name: coders[name](value)[1] if name in coders else value for name, value in made.items()})
    return {name: read[name] for name in outputs}


def _figures(coders: Mapping[str, Coder], apart: Mapping[str, list[Array]]) -> tuple[str, ...]:
    """The error, and how many times fewer bytes codes are: as they are, after Zstd, and by their entropy."""
    raw = plain = zstd = bits = 0.0
    errors = []
    for name, values in apart.items():
        for value in values:
            codes, back = coders[name](value)
            raw += value.nbytes
            plain += sum(code.nbytes for code in codes)
            zstd += sum(map(_compressed, codes))
            bits += _bits(codes[0]) + 8 * sum(code.nbytes for code in codes[1:])
            errors.append(np.mean(np.square(back - value)) / np.mean(np.square(value)))
    error = 100 * float(np.sqrt(np.mean(errors)))
    return (f"{error:.1f}", *(f"{raw / nbytes:.1f}" for nbytes in (plain, zstd, bits / 8)))


def _compressed(code: Array) -> int:
    found = encoded(from_array("code", code), _ZSTD, code.nbytes)
    return code.nbytes if found is None else len(found.data)


def _bits(code: Array) -> float:
    """Entropy of all elements, with what is known of each channel."""
    total = 0.0
    for row in _channels_first(code):
        _, counts = np.unique(row, return_counts=True)
        total -= float(np.sum(counts * np.log2(counts / row.size)))
    return total


def _ours(text: str, spec: TensorSpec, values: list[Array]) -> Coder:
    codec = codec_of(text)
    encoder, decoder = map(Session, coder_models(codec.fit(text, spec, values)))

    def coder(value: Array) -> tuple[list[Array], Array]:
        codes = list(encoder.run({"t": value}).values())
        (back,) = decoder.run({f"code{number}": code for number, code in enumerate(codes)}).values()
        return codes, back

    return coder


def _transform(percent: int, values: list[Array]) -> Coder:
    """Directions with values beyond 127 steps have a larger step, as channels have by ``uniform``."""
    places = np.concatenate([_channels_first(value) for value in values], axis=1).astype(np.float64)
    mean = places.mean(axis=1, keepdims=True)
    _, directions = np.linalg.eigh(np.cov(places, bias=True))
    directions = directions[:, ::-1]
    largest = np.max(np.abs(directions.T @ (places - mean)), axis=1, keepdims=True)
    step = percent / 100 * np.sqrt(np.mean(np.square(places)))
    scale = np.maximum(step, _MARGIN * largest / _LARGEST)

    def coder(value: Array) -> tuple[list[Array], Array]:
        own = _channels_first(value)
        code = np.clip(np.rint(directions.T @ (own - mean) / scale), -_LARGEST, _LARGEST)
        back = (directions @ (code * scale) + mean).astype(np.float32)
        return [_as(code.astype(np.int8), value)], _as(back, value)

    return coder


def _channels_first(value: Array) -> Array:
    """One row for each channel."""
    axis = _channel_axis(value)
    return np.moveaxis(value, axis, 0).reshape(value.shape[axis], -1)


def _as(rows: Array, value: Array) -> Array:
    """Rows of channels in a tensor's form."""
    axis = _channel_axis(value)
    others = [size for place, size in enumerate(value.shape) if place != axis]
    return np.ascontiguousarray(np.moveaxis(rows.reshape(len(rows), *others), 0, axis))


def _channel_axis(value: Array) -> int:
    return _AXIS_OF_PICTURES if value.ndim == _RANK_OF_PICTURES else value.ndim - 1


if __name__ == "__main__":
    main()
