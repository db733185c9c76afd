"""What encoding and decoding a tensor takes on this machine, by codec, measured in the engine."""

import contextlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from mopar.codecs import GraphCodec, TrainedCodec, codec_names, codec_of, coder_models
from mopar.files import cache_directory, from_json, read_bounded, to_json, write_whole
from mopar.machine import machine_facts
from mopar.measurement.policy import LATENCY
from mopar.profiling.cache import cache_key
from mopar.types import ProfileError, TensorSpec

SHAPES = ((1, 1024, 256), (1, 256, 32, 32))
"""Of the tensors that are encoded, of 1 MiB each: of tokens and of pictures."""
_SMALL = 16
"""Tensors of so many times fewer places show what a codec takes whatever the size."""
_MIB = 1 << 20
CODEC_COSTS_SCHEMA = 2

Values = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class CodecCost:
    """Time of one codec on a tensor of one rank.

    Attributes:
        codec: its name.
        parameter: the number in its text; 0 where it has none.
        rank: of the tensor.
        encode_ms_per_mib, decode_ms_per_mib: per MiB of the tensor.
        encode_ms, decode_ms: of a tensor of any size beside that.
    """

    codec: str
    parameter: int
    rank: int
    encode_ms_per_mib: float
    decode_ms_per_mib: float
    encode_ms: float
    decode_ms: float


@dataclass(frozen=True, slots=True)
class CodecCosts:
    """Times of all codecs."""

    costs: tuple[CodecCost, ...]
    schema: int = CODEC_COSTS_SCHEMA

    def of(self, text: str, rank: int, nbytes: int) -> tuple[float, float]:
        """Encoding and decoding of a tensor, in ms.

        Of the rank that comes nearest among those measured; for a codec with a parameter, on the line through the
        parameters measured. Raises KeyError where the codec was not measured.
        """
        name, _, parameter = text.partition(":")
        known = [cost for cost in self.costs if cost.codec == name]
        if not known:
            raise KeyError(name)
        nearest = min((cost.rank for cost in known), key=lambda measured: abs(measured - rank))
        alike = [cost for cost in known if cost.rank == nearest]
        at, mib = float(parameter or 0), nbytes / _MIB
        return (
            _on_line([(cost.parameter, cost.encode_ms + mib * cost.encode_ms_per_mib) for cost in alike], at),
            _on_line([(cost.parameter, cost.decode_ms + mib * cost.decode_ms_per_mib) for cost in alike], at),
        )


def costs_file() -> Path:
    """Where the costs are kept."""
    key = cache_key([CODEC_COSTS_SCHEMA, machine_facts(), codec_names(), SHAPES])
    return cache_directory() / "runtime" / f"codecs-{key}.json"


def codec_costs(*, use_cache: bool = True, progress: Callable[[str], None] = lambda _line: None) -> CodecCosts:
    """The costs of all codecs on this machine: measured once, then kept beside its other constants."""
    path = costs_file()
    if use_cache:
        with contextlib.suppress(OSError, ProfileError):
            return from_json(read_bounded(path), CodecCosts, what=str(path), error=ProfileError)
    progress("measuring what codecs cost on this machine")
    costs = CodecCosts(tuple(cost for name in codec_names() for shape in SHAPES for cost in _measured(name, shape)))
    with contextlib.suppress(OSError):  # a cache that cannot be written is none
        write_whole(path, to_json(costs))
    return costs


def _measured(name: str, shape: tuple[int, ...]) -> list[CodecCost]:
    """A codec's costs with each parameter that it offers for a tensor of that shape."""
    codec, spec = codec_of(name), TensorSpec("t", "float32", shape)
    values = _values(shape)
    return [_timed(codec, text, spec, values) for text in codec.offers(spec, [values])]


def _values(shape: tuple[int, ...]) -> Values:
    """Values whose ranges differ by channel, of which the axis is the last of tokens and the second of pictures."""
    random, axis = np.random.default_rng(0), 1 if len(shape) > 3 else len(shape) - 1
    widths = np.logspace(-1, 1, shape[axis], dtype=np.float32)
    widths = widths.reshape([-1 if place == axis else 1 for place in range(len(shape))])
    return random.standard_normal(shape, dtype=np.float32) * widths


def _timed(codec: GraphCodec, text: str, spec: TensorSpec, values: Values) -> CodecCost:
    fitted = (
        codec.untrained(text, spec, [values]) if isinstance(codec, TrainedCodec) else codec.fit(text, spec, [values])
    )
    coders = [_session(coder) for coder in coder_models(fitted)]
    few = np.ascontiguousarray(values[..., : values.shape[-2] // _SMALL, :])
    sizes = few.nbytes / _MIB, values.nbytes / _MIB
    encode, decode = (_split(sizes, times) for times in zip(_times(coders, few), _times(coders, values), strict=True))
    number = int(text.partition(":")[2] or 0)
    return CodecCost(codec.name, number, values.ndim, encode[1], decode[1], encode[0], decode[0])


def _times(coders: list[ort.InferenceSession], values: Values) -> tuple[float, float]:
    """What an encoder and a decoder take, in ms."""
    encoder, decoder = coders
    codes, encode_ms = _run(encoder, [ort.OrtValue.ortvalue_from_numpy(values)])
    _, decode_ms = _run(decoder, codes)
    return encode_ms, decode_ms


def _split(mib: tuple[float, float], times_ms: tuple[float, float]) -> tuple[float, float]:
    """The part of a time that does not depend on the size, and ms per MiB of the rest."""
    per_mib = max((times_ms[1] - times_ms[0]) / (mib[1] - mib[0]), 0.0)
    fixed_ms = min(max(times_ms[0] - mib[0] * per_mib, 0.0), times_ms[1])
    return fixed_ms, max(times_ms[1] - fixed_ms, 0.0) / mib[1]


def _session(model: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _run(session: ort.InferenceSession, values: list[ort.OrtValue]) -> tuple[list[ort.OrtValue], float]:
    """Outputs, and the median time of a run in ms."""
    feeds = dict(zip([item.name for item in session.get_inputs()], values, strict=True))
    found, times = [], []
    for _ in range(LATENCY.warm_rounds + LATENCY.engine_rounds):
        started = time.perf_counter()
        found = session.run_with_ort_values(None, feeds)
        times.append((time.perf_counter() - started) * 1e3)
    return found, statistics.median(times[LATENCY.warm_rounds :])


def _on_line(points: list[tuple[int, float]], at: float) -> float:
    """The least-squares line through points; at least the least of them, since noise may tilt it."""
    least = min(value for _, value in points)
    if len({place for place, _ in points}) < 2:
        return least
    places, values = (np.array(column, dtype=np.float64) for column in zip(*points, strict=True))
    slope, start = np.polyfit(places, values, 1)
    return max(float(start + slope * at), least if at >= places.min() else 0.0)
