"""Codecs chosen together with cuts: within the budget, better than none, and as the bundle then answers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from mopar.bundle import build, open_bundle
from mopar.graph import Model, load_model
from mopar.measurement.codec_costs import CodecCost, CodecCosts
from mopar.measurement.recording import record
from mopar.pipeline.codecs.accuracy import loss_of
from mopar.pipeline.codecs.calibration import Calibration, load_calibration
from mopar.pipeline.codecs.choose import CodecPlanner, choose
from mopar.pipeline.codecs.file import codecs_path, read_codecs, write_codecs
from mopar.pipeline.codecs.messages import MessageCodecs
from mopar.pipeline.codecs.offers import Boundary, Wanted
from mopar.pipeline.codecs.options import CodecOptions, PlanWithCodecs
from mopar.pipeline.codecs.preferred import WORTH, preferred
from mopar.pipeline.codecs.searches import searched
from mopar.pipeline.profile import predict_model
from mopar.pipeline.reference import ReferenceModel
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.types import InputError, Network, Profile, TensorCoding, UsageError
from tests.bundle import parted
from tests.models import materialise, sample_inputs

MODEL = "conv_chain"
SLOW = PlanOptions(platform="container-http", network=Network(20.0), cuts=(1,), slo_ms=None)
COSTS = CodecCosts(
    tuple(
        CodecCost(codec, parameter, rank, 0.5, 0.4, 0.01, 0.01)
        for codec in ("fp16", "bf16", "int8", "int8-static", "int4", "uniform", "linear", "autoencoder")
        for parameter in ((4, 64) if codec in {"linear", "autoencoder"} else (0,))
        for rank in (3, 4)
    )
)


@pytest.fixture(scope="module")
def known() -> tuple[Model, Profile]:
    return predict_model(materialise(MODEL))


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    requests = [sample_inputs(MODEL, seed) for seed in range(8)]
    return Calibration(tuple(requests[::2]), tuple(requests[1::2]))


def chosen(
    known: tuple[Model, Profile], calibration: Calibration, codecs: CodecOptions, options: PlanOptions | None = None
) -> PlanWithCodecs:
    model, profile = known
    cut = profile.cut_positions[len(profile.cut_positions) // 2].index
    return choose(model, profile, options or replace(SLOW, cuts=(cut,)), calibration, codecs, COSTS)


def test_the_budget_is_kept_and_measured(known: tuple[Model, Profile], calibration: Calibration) -> None:
    """The measured loss is that of the built bundle, whose functions answer the requests held apart."""
    wide, tight = (chosen(known, calibration, CodecOptions(budget, "relative")) for budget in (50.0, 0.3))
    assert wide.accuracy is not None
    assert tight.accuracy is not None
    assert tight.accuracy.measured <= 0.3
    assert len(tight.tried) > 1
    assert wide.plan.predicted.latency_ms < tight.plan.predicted.latency_ms
    raw = make_plan(known[1], replace(SLOW, cuts=tuple(graph.start for graph in tight.plan.graphs[1:])))
    assert tight.plan.predicted.latency_ms < raw.predicted.latency_ms


def test_plans_for_several_networks_are_those_for_each_alone(
    known: tuple[Model, Profile], calibration: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Codecs are looked at once: it takes longer than planning."""
    networks = [replace(SLOW, network=Network(mbit)) for mbit in (5.0, 20.0, 1000.0)]
    wanted = CodecOptions(5.0, "relative")
    alone = [chosen(known, calibration, wanted, options) for options in networks]
    looked: list[Boundary] = []
    offers = Boundary.offers

    def counted(
        boundary: Boundary, costs: CodecCosts, wanted: Wanted, messages: MessageCodecs | None
    ) -> dict[str, list[TensorCoding]]:
        looked.append(boundary)
        return offers(boundary, costs, wanted, messages)

    monkeypatch.setattr(Boundary, "offers", counted)
    planner = CodecPlanner(*known, calibration, COSTS)
    found = [planner.choose(options, wanted) for options in networks]
    assert [one.plan for one in found] == [one.plan for one in alone]
    assert [one.accuracy for one in found] == [one.accuracy for one in alone]
    assert len({one.plan.predicted.latency_ms for one in found}) == 3
    assert len(looked) == 1
    codings = planner.codings(found[0].plan, wanted)
    assert {tensor: coding.text for tensor, coding in codings.items()} == found[0].plan.codecs


def test_a_bundle_loses_what_was_measured(
    known: tuple[Model, Profile], calibration: Calibration, tmp_path: Path
) -> None:
    found = chosen(known, calibration, CodecOptions(50.0, "relative"))
    assert found.accuracy is not None
    build(known[0], found.plan, tmp_path / "bundle", codings=found.codings)
    bundle, reference = open_bundle(tmp_path / "bundle"), ReferenceModel(materialise(MODEL))
    got = [record(bundle, request).outputs for request in calibration.held_apart]
    want = [reference.infer(request) for request in calibration.held_apart]
    assert loss_of(got, want, "relative")[1] == pytest.approx(found.accuracy.measured, rel=0.05)


def test_nothing_is_encoded_in_shared_memory_or_without_a_budget(
    known: tuple[Model, Profile], calibration: Calibration
) -> None:
    local = PlanOptions(cuts=(known[1].cut_positions[0].index,), slo_ms=None)
    for options, budget in ((local, 50.0), (None, 0.0)):
        found = chosen(known, calibration, CodecOptions(budget), options)
        assert not found.plan.codecs
        assert found.accuracy is None


def test_a_plan_that_is_hardly_better_is_not_worth_a_loss(known: tuple[Model, Profile]) -> None:
    raw = make_plan(known[1], SLOW)
    for share, worth in ((0.98, True), (0.995, False), (1.0, False)):
        coded = replace(raw, predicted=replace(raw.predicted, latency_ms=share * raw.predicted.latency_ms))
        assert preferred(coded, raw, WORTH) == worth
        assert preferred(coded, raw) == (share < 1)


def test_forced_codecs_are_used_whatever_they_lose(known: tuple[Model, Profile], calibration: Calibration) -> None:
    found = chosen(known, calibration, CodecOptions(forced={"all": "int8"}))
    assert set(found.plan.codecs.values()) == {"int8"}
    assert found.accuracy is not None
    assert found.accuracy.budget is None
    with pytest.raises(UsageError, match="--codec nothing=int8: no such tensor"):
        chosen(known, calibration, CodecOptions(forced={"nothing": "int8"}))


def test_codecs_need_operators_of_the_models_version(calibration: Calibration, tmp_path: Path) -> None:
    """Otherwise a plan is made that no bundle can be built of."""
    proto = onnx.load(materialise(MODEL))
    proto.opset_import[0].version = 12
    onnx.save(proto, tmp_path / "old.onnx")
    old = predict_model(tmp_path / "old.onnx")
    found = chosen(old, calibration, CodecOptions(50.0, "relative"))
    assert set(found.plan.codecs.values()) == {"fp16"}
    build(old[0], found.plan, tmp_path / "bundle", codings=found.codings)
    with pytest.raises(UsageError, match="--codec all=int8: the codec does not apply"):
        chosen(old, calibration, CodecOptions(forced={"all": "int8"}))


def test_codecs_are_read_as_written(known: tuple[Model, Profile], calibration: Calibration, tmp_path: Path) -> None:
    found = chosen(known, calibration, CodecOptions(forced={"all": "int8-static"}))
    assert found.accuracy is not None
    path = codecs_path(tmp_path / "plan.json")
    plan = replace(found.plan, coding=write_codecs(path, found.codings, found.accuracy))
    read = read_codecs(path, plan)
    assert read.keys() == found.codings.keys()
    for tensor, fitted in found.codings.items():
        assert (read[tensor].text, read[tensor].rank, read[tensor].axis) == (fitted.text, fitted.rank, fitted.axis)
        for name, array in fitted.arrays.items():
            np.testing.assert_array_equal(read[tensor].arrays[name], array)
    assert not read_codecs(tmp_path / "none", found.plan)
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(UsageError, match="not the codecs of this plan"):
        read_codecs(path, plan)
    path.unlink()
    with pytest.raises(UsageError, match="plan again"):
        read_codecs(path, plan)


def test_a_file_of_several_requests(tmp_path: Path) -> None:
    model = load_model(materialise(MODEL))
    (spec,) = model.inputs
    path = tmp_path / "calibration.npz"
    requests = [sample_inputs(MODEL, seed) for seed in range(5)]
    joined = np.concatenate([request[spec.name] for request in requests])
    for values in (joined, np.stack([request[spec.name] for request in requests])):
        np.savez(path, allow_pickle=False, **{spec.name: values})
        found = load_calibration(path, model.inputs)
        assert (len(found.fitted), len(found.held_apart)) == (3, 2)
        np.testing.assert_array_equal(found.held_apart[1][spec.name], requests[3][spec.name])
    for given, says in (({spec.name: joined[:1]}, "1 requests"), ({}, "0 requests"), ({"z": joined}, "0 requests")):
        np.savez(path, allow_pickle=False, **given)
        with pytest.raises(InputError, match=says):
            load_calibration(path, model.inputs)


@pytest.fixture(scope="module")
def in_parts() -> tuple[Model, Profile]:
    """The model as if it computed for much longer, so that parts pay behind a network."""
    return parted.known()


BEHIND = PlanOptions(platform="container-http", network=Network(20.0), objective="latency", slo_ms=None)


@pytest.mark.parametrize("codecs", [CodecOptions(50.0, "relative"), CodecOptions(0.0, "relative", {"all": "int4"})])
def test_parts_send_codes_and_lose_what_was_measured(
    in_parts: tuple[Model, Profile], calibration: Calibration, codecs: CodecOptions, tmp_path: Path
) -> None:
    """Ranges are those of shares, in what is measured as in functions."""
    model, profile = in_parts
    found = choose(model, profile, BEHIND, calibration, codecs, COSTS)
    shares = [share for graph in found.plan.graphs if graph.part for share in graph.part.outputs]
    assert any(share.tensor in found.codings and share.axis is not None for share in shares)
    assert not any(share.summand for share in shares if share.tensor in found.codings)
    if not codecs.forced:
        assert found.plan.predicted.latency_ms < make_plan(profile, BEHIND).predicted.latency_ms
    assert found.accuracy is not None
    build(model, found.plan, tmp_path / "bundle", codings=found.codings)
    bundle, reference = open_bundle(tmp_path / "bundle"), ReferenceModel(materialise(MODEL))
    got = [record(bundle, request).outputs for request in calibration.held_apart]
    want = [reference.infer(request) for request in calibration.held_apart]
    assert loss_of(got, want, "relative")[1] == pytest.approx(found.accuracy.measured, rel=0.01)


def test_codecs_that_encode_what_parts_make_are_searched_by_themselves(in_parts: tuple[Model, Profile]) -> None:
    """A better codec of one tensor could cost the plan its steps; of tensors that one function makes any is kept."""
    _, profile = in_parts
    half, better = TensorCoding("fp16", 0.5, 0.1, 0.1), TensorCoding("linear:1", 0.1, 0.1, 0.1, share_axes=())
    choices = {"maxpool_9": (better, half), "relu_7": (better,)}
    every = [dict(one) for one in searched(profile, BEHIND, CodecOptions(1.0), choices)]
    assert every == [choices, {"maxpool_9": (half,), "relu_7": (better,)}]
    for options, codecs in (
        (replace(BEHIND, max_parts=1), CodecOptions(1.0)),
        (replace(BEHIND, cuts=(5,)), CodecOptions(1.0)),
        (BEHIND, CodecOptions(forced={"all": "linear:1"})),
    ):
        assert [dict(one) for one in searched(profile, options, codecs, choices)] == [choices]
