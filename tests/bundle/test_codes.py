"""Bundles whose tensors are sent encoded answer as the whole model does, within what each codec loses."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mopar.bundle import Bundle, build, open_bundle
from mopar.bundle.codes import Codings
from mopar.codecs import codec_of
from mopar.costmodel.predict import predict_profile
from mopar.files import temporary_folder
from mopar.gateway.arrays import Array
from mopar.graph import Model, load_model
from mopar.measurement.recording import Recording, record
from mopar.pipeline.calibration.scale import shipped_resources
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.types import REQUEST, BundleError, Plan, TensorSpec
from tests.bundle.plans import chain, some_cuts
from tests.models import materialise, sample_inputs
from tests.models.answers import change

MODELS = ("skip", "conv_chain", "two_input", "symbolic", "multi_output")
TOLERANCE = {"fp16": 2e-3, "bf16": 2e-2, "int8": 5e-2, "int8-static": 0.1, "int4": 0.2, "linear": 0.5, "uniform": 0.1}


def samples_of(plan: Plan, recordings: Sequence[Recording]) -> dict[str, list[Array]]:
    """Values of every tensor that passes between functions."""
    from mopar.gateway.arrays import to_array

    read = {
        source.tensor for call in plan.calls for item in call.inputs for source in item.sources
        if source.producer != REQUEST
    }  # fmt: skip
    found: dict[str, list[Array]] = {}
    for recording in recordings:
        for calls in recording.calls.values():
            for call in calls:
                for value in call.outputs:
                    if value.name in read and value.dtype == "float32":
                        found.setdefault(value.name, []).append(to_array(value))
    return found


def fitted(codec: str, specs: Mapping[str, TensorSpec], samples: Mapping[str, Sequence[Array]]) -> Codings:
    """The codec's best text for each tensor, where it is offered any."""
    found = {}
    for name, values in samples.items():
        texts = list(codec_of(codec).offers(specs[name], values))
        if texts:
            found[name] = codec_of(codec).fit(texts[-1], specs[name], values)
    return found


@dataclass(frozen=True, slots=True)
class Plain:
    """What a plan's functions give of a few inputs where nothing is encoded.

    Attributes:
        model, plan: as they are built.
        specs: of all tensors that functions give.
        recordings: one for each input.
    """

    model: Model
    plan: Plan
    specs: Mapping[str, TensorSpec]
    recordings: Sequence[Recording]


def recorded(model: Model, plan: Plan, inputs: Sequence[Mapping[str, Array]]) -> Plain:
    with temporary_folder("mopar-plain-") as folder:
        build(model, plan, folder / "bundle")
        bundle = open_bundle(folder / "bundle")
        specs = {spec.name: spec for graph in bundle.manifest.graphs for spec in graph.outputs}
        return Plain(model, plan, specs, [record(bundle, one) for one in inputs])


@functools.cache
def plain_of(name: str) -> Plain:
    """A model in three functions: the same for every codec."""
    model = load_model(materialise(name))
    return recorded(model, chain(model, some_cuts(model, 2)), [sample_inputs(name, seed) for seed in range(3)])


def encoded(plain: Plain, codec: str, folder: Path) -> Bundle:
    codings = fitted(codec, plain.specs, samples_of(plain.plan, plain.recordings))
    plan = replace(plain.plan, codecs={name: one.text for name, one in codings.items()})
    build(plain.model, plan, folder, codings=codings)
    return open_bundle(folder)


def difference(plain: Recording, coded: Recording) -> float:
    names = list(plain.outputs)
    return change([plain.outputs[one] for one in names], [coded.outputs[one] for one in names])


@pytest.mark.parametrize("codec", sorted(TOLERANCE))
@pytest.mark.parametrize("name", MODELS)
def test_answers_are_close(name: str, codec: str, tmp_path: Path) -> None:
    plain = plain_of(name)
    bundle = encoded(plain, codec, tmp_path / "coded")
    first, coded = plain.recordings[0], record(bundle, sample_inputs(name, 0))
    assert bundle.manifest.codes or codec == "linear"
    assert difference(first, coded) <= TOLERANCE[codec]
    assert coded.bytes < first.bytes or not bundle.manifest.codes


@pytest.mark.models
def test_parts_give_encoded_shares(tmp_path: Path) -> None:
    # As on one machine everywhere: on where the cuts are depends what the codec loses.
    model = load_model(materialise("resnet50"))
    profile = predict_profile(model, shipped_resources())
    plan = make_plan(profile, PlanOptions(objective="latency", max_functions=4, slo_ms=None))
    assert any(graph.part is not None for graph in plan.graphs)
    plain = recorded(model, plan, [sample_inputs("resnet50", seed) for seed in range(2)])
    bundle = encoded(plain, "int8", tmp_path / "coded")
    assert any(len(item.sources) > 1 and item.sources[0].tensor in bundle.manifest.codes
               for call in plan.calls for item in call.inputs)  # fmt: skip
    coded = record(bundle, sample_inputs("resnet50", 0))
    assert difference(plain.recordings[0], coded) <= TOLERANCE["int8"]


def test_a_codec_that_was_not_fitted_is_named(tmp_path: Path) -> None:
    model = load_model(materialise("skip"))
    plan = chain(model, some_cuts(model, 1))
    tensor = plan.graphs[0].outputs[0]
    with pytest.raises(BundleError, match=f"the plan encodes {tensor} with int8"):
        build(model, replace(plan, codecs={tensor: "int8"}), tmp_path / "bundle")
