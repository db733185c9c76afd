"""The trained autoencoder against the linear one of the same bytes, on inputs held apart from those that fitted them.

    python -m benchmarks.codec_training [--models NAME,..] [--slices 3] [--inputs 64]
                                        [--shares 16,8,4] [--json FILE]

Of models with real weights in slices of equal time, each tensor that crosses and has channels enough; codes of a share
of its channels. Lost is the squared error over the variance around each channel's mean, in percent.
"""

import argparse
import time

import numpy as np

from benchmarks.coded import predicted_slices
from benchmarks.common import parser, say_where, table, write_raw
from benchmarks.real_inputs import INPUTS
from mopar.codecs import Fitted, codec_of, pair_model
from mopar.gateway.arrays import Array
from mopar.graph import layers_of, tensor_shapes
from mopar.pipeline.codecs.engine import Session, tensor_values
from mopar.types import TensorSpec

_AXIS_OF_PICTURES, _RANK_OF_PICTURES = 1, 4


def main() -> None:
    """Compare for all models."""
    made = parser(__doc__)
    made.add_argument("--models", default=",".join(INPUTS), metavar="NAMES")
    made.add_argument("--slices", type=int, default=3, metavar="K")
    made.add_argument("--inputs", type=int, default=64, metavar="N", help="real inputs, half of them held apart")
    made.add_argument("--shares", default="16,8,4", metavar="N,..", help="codes of so many times fewer channels")
    arguments = made.parse_args()
    say_where(0, "torch")
    rows: list[tuple[str, ...]] = []
    for name in filter(None, arguments.models.split(",")):
        rows += _of_model(name, arguments)
    columns = ("model", "tensor", "shape", "K", "lost by linear, %", "by autoencoder, %", "s of training")
    table(columns, rows)
    write_raw(arguments.json, "codec_training", {"columns": columns, "rows": rows})


def _of_model(name: str, arguments: argparse.Namespace) -> list[tuple[str, ...]]:
    found = predicted_slices(name, arguments.slices, arguments.inputs)
    model, calibration, sizes = found.model, found.calibration, found.sizes
    layers, specs = layers_of(model), tensor_shapes(model)
    apart = dict(tensor_values(model, layers, sizes, calibration.held_apart))
    rows = []
    for tensor, values in tensor_values(model, layers, sizes, calibration.fitted):
        offered = set(codec_of("autoencoder").offers(specs[tensor], values))
        for share in map(int, arguments.shares.split(",")):
            channels = values[0].shape[_channels(values[0])]
            if f"autoencoder:{channels // share}" in offered:
                rows.append((name, *_compared(specs[tensor], channels // share, values, apart[tensor])))
                print(*rows[-1], flush=True)
    return rows


def _compared(spec: TensorSpec, number: int, values: list[Array], apart: list[Array]) -> tuple[str, ...]:
    linear = codec_of("linear").fit(f"linear:{number}", spec, values)
    started = time.perf_counter()
    trained = codec_of("autoencoder").fit(f"autoencoder:{number}", spec, values)
    took_s = time.perf_counter() - started
    shape = "x".join(map(str, values[0].shape))
    lost = (f"{_lost(fitted, apart):.1f}" for fitted in (linear, trained))
    return spec.name, shape, str(number), *lost, f"{took_s:.0f}"


def _lost(fitted: Fitted, apart: list[Array]) -> float:
    session = Session(pair_model(fitted), optimised=False)
    joined = np.concatenate(apart).astype(np.float64)
    axis = _channels(joined)
    others = tuple(place for place in range(joined.ndim) if place != axis)
    variance = float(np.sum(np.square(joined - joined.mean(axis=others, keepdims=True))))
    off = sum(float(np.sum(np.square(session.through(value).astype(np.float64) - value))) for value in apart)
    return 100 * off / variance


def _channels(value: Array) -> int:
    return _AXIS_OF_PICTURES if value.ndim == _RANK_OF_PICTURES else value.ndim - 1


if __name__ == "__main__":
    main()
