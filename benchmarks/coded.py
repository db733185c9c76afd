"""Shared by the benchmarks of codecs: a model with its requests, what its plans send, and what they take, measured."""

import statistics
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import version_converter

from benchmarks.real_inputs import INPUTS, Arrays
from mopar.bundle import Bundle, build, open_bundle
from mopar.bundle.sent_codecs import is_lossless
from mopar.codecs import Fitted, code_bytes, codec_names, codec_of, coder_models
from mopar.gateway.arrays import Array, from_array
from mopar.graph import Model, layers_of
from mopar.measurement.codec_costs import codec_costs
from mopar.pipeline.bench.prices import cost_as_run, measured_functions
from mopar.pipeline.bench.served import Samples, sample
from mopar.pipeline.codecs.calibration import Calibration, Request, load_calibration
from mopar.pipeline.codecs.choose import CodecPlanner
from mopar.pipeline.codecs.engine import Session, tensor_values
from mopar.pipeline.codecs.messages import MessageCodecs
from mopar.pipeline.codecs.options import CodecOptions, PlanWithCodecs
from mopar.pipeline.profile import measure_model, predict_model
from mopar.pipeline.reference import ReferenceModel
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.platforms.books import load_book
from mopar.platforms.codes import encoded
from mopar.runtime.lossless import Lossless
from mopar.types import Network, Plan, Profile, TensorSpec, code_text
from tests.models import materialise

MIB = 1 << 20
_LEAST_OPSET = max(codec_of(name).least_opset for name in codec_names())
PLATFORM = "container-http"


@dataclass(frozen=True, slots=True)
class Subject:
    """A model with its profile and requests; codecs are fitted once for all plans."""

    name: str
    path: Path
    model: Model
    profile: Profile
    calibration: Calibration
    planner: CodecPlanner

    @property
    def request(self) -> Request:
        """What is served: the first of those held apart."""
        return self.calibration.held_apart[0]


def subject(name: str, inputs: Arrays, scratch: Path) -> Subject:
    """Measure a model, for requests along the first axis of ``inputs``."""
    path, first = _request_files(name, inputs, scratch)
    file = _current(materialise(name), scratch)
    model, profile = measure_model(file, inputs=first)
    calibration = load_calibration(path, model.inputs)
    planner = CodecPlanner(model, profile, calibration, codec_costs(), MessageCodecs.here())
    return Subject(name, file, model, profile, calibration, planner)


@dataclass(frozen=True, slots=True)
class PredictedSlices:
    """A model in slices of equal predicted time.

    Attributes:
        calibration: its real inputs.
        sizes: of the floats that cross, in bytes.
    """

    model: Model
    plan: Plan
    calibration: Calibration
    sizes: dict[str, int]


def predicted_slices(name: str, slices: int, count: int) -> PredictedSlices:
    """A model in so many slices, with so many real inputs, half of them held apart."""
    with tempfile.TemporaryDirectory() as scratch:
        path, first = _request_files(name, INPUTS[name](count), Path(scratch))
        model, profile = predict_model(materialise(name), inputs=first)
        calibration = load_calibration(path, model.inputs)
    plan = make_plan(profile, PlanOptions(PLATFORM, uniform=slices, slo_ms=None))
    read = {tensor for graph in plan.graphs for tensor in graph.inputs}
    crossing = (one for one in profile.tensors if one.name in read and one.producer >= 0 and one.dtype == "float32")
    return PredictedSlices(model, plan, calibration, {one.name: one.bytes for one in crossing if one.bytes})


def _request_files(name: str, inputs: Arrays, scratch: Path) -> tuple[Path, Path]:
    """Files of all requests, and of the first."""
    path, first = scratch / f"{name}.npz", scratch / f"{name}-first.npz"
    np.savez(path, allow_pickle=False, **inputs)
    np.savez(first, allow_pickle=False, **{key: value[:1] for key, value in inputs.items()})
    return path, first


def _current(path: Path, scratch: Path) -> Path:
    """The model with operators of a version that all codecs have: those of PP-OCR are older."""
    model = onnx.load(path, load_external_data=False)
    if all(used.version >= _LEAST_OPSET for used in model.opset_import if not used.domain):
        return path
    onnx.save(version_converter.convert_version(onnx.load(path), _LEAST_OPSET), scratch / path.name)
    return scratch / path.name


@dataclass(frozen=True, slots=True)
class Row:
    """A plan, and the options by which its codecs were chosen."""

    name: str
    chosen: PlanWithCodecs
    codecs: CodecOptions

    @property
    def plan(self) -> Plan:
        """Its plan."""
        return self.chosen.plan


@dataclass(frozen=True, slots=True)
class Sent:
    """Bytes of tensors in all messages of a request, to functions and from them.

    Attributes:
        between, between_raw: of the tensors that pass between functions: as sent, and as they are.
        own, own_raw: of the model's own inputs and outputs.
    """

    between: int
    between_raw: int
    own: int
    own_raw: int

    @property
    def ratio(self) -> float:
        """Bytes of the tensors that pass between functions over those that are sent."""
        return self.between_raw / self.between if self.between else 1.0


class Traffic:
    """What plans of a model send in one request.

    Args:
        subject: the model.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._tensors = {tensor.name: tensor for tensor in subject.profile.tensors}
        self._values: dict[str, Array] = dict(subject.request)

    def of(self, row: Row) -> Sent:
        """Bytes by what is sent: codes of lossy codecs have a size, of others they depend on the request's values."""
        outputs = {name for name, _ in row.plan.outputs}
        found = {True: [0, 0], False: [0, 0]}
        sizes = self._sent_bytes(row)
        for name, nbytes in sizes.items():
            made = self._tensors[name].producer >= 0
            messages = made + sum(name in graph.inputs for graph in row.plan.graphs)
            for place, size in enumerate((nbytes, self._tensors[name].bytes)):
                found[made and name not in outputs][place] += messages * size
        return Sent(*found[True], *found[False])

    def _sent_bytes(self, row: Row) -> dict[str, int]:
        """Bytes of each tensor as messages carry it."""
        read = {name for graph in row.plan.graphs for name in graph.inputs}
        names = [name for name in self._tensors if name in read or name in dict(row.plan.outputs)]
        texts = {name: row.plan.codecs.get(name, "") for name in names}
        sent = {name: text if is_lossless(text) else code_text(text) for name, text in texts.items()}
        self._run({name for name, text in sent.items() if text} - self._values.keys())
        return {name: self._size(name, row, sent[name]) for name in names}

    def _run(self, names: Iterable[str]) -> None:
        """Have the values of tensors that layers make."""
        sizes = {name: self._tensors[name].bytes for name in names}
        model = self._subject.model
        found = tensor_values(model, layers_of(model), sizes, [self._subject.request], max(sizes.values(), default=1))
        self._values.update({name: values[0] for name, values in found})

    def _size(self, name: str, row: Row, text: str) -> int:
        """Bytes of a tensor as it is sent; ``text`` is of the codec of messages, where there is one."""
        tensor, fitted = self._tensors[name], row.chosen.codings.get(name)
        if not text:
            spec = TensorSpec(name, tensor.dtype, tensor.shape)
            return tensor.bytes if fitted is None else _code_bytes(fitted, spec)
        value = self._values[name]
        if fitted is not None:
            value = Session(coder_models(fitted)[0]).through(value)
        most_bytes = Lossless.most_bytes(value.nbytes, row.plan.code_ratios.get(name, 1.0))
        code = encoded(from_array(name, value), text, most_bytes)
        return value.nbytes if code is None else len(code.data)


def _code_bytes(fitted: Fitted, spec: TensorSpec) -> int:
    return code_bytes(codec_of(fitted.text).codes(fitted, spec))


def coding_ms(subject: Subject, row: Row) -> tuple[float, float]:
    """What encoding and decoding take in a request, in ms, as measured beforehand: also what the gateway does.

    That it takes longer there, the planner counts besides.
    """
    encode = decode = 0.0
    tensors = {tensor.name: tensor for tensor in subject.profile.tensors}
    outputs = dict(row.plan.outputs)
    for name, coding in subject.planner.codings(row.plan, row.codecs).items():
        mib = tensors[name].bytes / MIB
        reads = sum(name in graph.inputs for graph in row.plan.graphs)
        encode += mib * coding.encode_ms_per_mib * (1 if tensors[name].producer >= 0 else reads)
        decode += mib * coding.decode_ms_per_mib * (reads + (name in outputs))
    return encode, decode


@dataclass(frozen=True, slots=True)
class Taken:
    """What requests to a plan took, measured: medians; GiB-s of all functions, in the engine and beside it."""

    latency_ms: float
    engine_ms: float
    engine_gb_s: float
    beside_gb_s: float
    usd_per_million: float
    samples_ms: tuple[float, ...]


def measured(
    subject: Subject, rows: Iterable[Row], network: Network, requests: int, bundles: dict[object, Bundle], scratch: Path
) -> dict[str, Taken]:
    """Requests to each row's plan, interleaved, by its name; rows of equal plans are measured once.

    Args:
        subject: the model.
        rows: with names of their own.
        network: to emulate.
        requests: counted ones to each.
        bundles: that were built before; those that are missing are added.
        scratch: for bundles.
    """
    by_key: dict[object, list[Row]] = {}
    for row in rows:
        by_key.setdefault(_key(row), []).append(row)
    for key, alike in by_key.items():
        if key not in bundles:
            folder = scratch / f"{subject.name}-{len(bundles)}"
            build(subject.model, alike[0].plan, folder, codings=alike[0].chosen.codings)
            bundles[key] = open_bundle(folder)
    want = ReferenceModel(subject.path).infer(subject.request)
    served = [bundles[key] for key in by_key]
    samples = sample(served, subject.request, want, requests, transport="http", network=network)
    return dict(_by_name(by_key.values(), samples))


def _key(row: Row) -> object:
    """What a bundle depends on."""
    plan = row.plan
    return plan.functions, plan.graphs, frozenset(plan.codecs.items())


def _by_name(groups: Iterable[Iterable[Row]], samples: Iterable[Samples]) -> Iterator[tuple[str, Taken]]:
    for rows, taken in zip(groups, samples, strict=True):
        for row in rows:
            yield row.name, _taken(row.plan, taken)


def _taken(plan: Plan, taken: Samples) -> Taken:
    names = [function.name for function in plan.functions]
    limits_mib = [function.memory_mib for function in plan.functions]
    held, engine = ([statistics.median(times[name]) for name in names] for times in (taken.held_ms, taken.engine_ms))
    held_gb_s, engine_gb_s = (
        sum(mib / 1024 * ms / 1e3 for mib, ms in zip(limits_mib, times, strict=True)) for times in (held, engine)
    )
    return Taken(
        statistics.median(taken.latency_ms),
        sum(engine),
        engine_gb_s,
        held_gb_s - engine_gb_s,
        cost_as_run(load_book("paper"), measured_functions(plan, limits_mib, held)),
        tuple(taken.latency_ms),
    )


def sliced(slices: int, network: Network) -> PlanOptions:
    """Slices of equal time behind a network, at any latency."""
    return PlanOptions(PLATFORM, uniform=slices, slo_ms=None, network=network)
