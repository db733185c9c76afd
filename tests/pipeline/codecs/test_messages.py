"""Codecs of messages: measured on values, and planned by default where functions are behind a network."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from mopar.bundle.sent_codecs import is_lossless
from mopar.gateway.arrays import Array
from mopar.graph import Model
from mopar.pipeline.codecs.calibration import Calibration
from mopar.pipeline.codecs.choose import choose
from mopar.pipeline.codecs.messages import MessageCodecs, _pieces
from mopar.pipeline.codecs.options import CodecOptions, PlanWithCodecs
from mopar.pipeline.profile import predict_model
from mopar.pipeline.stages import PlanOptions, limits_of, make_plan
from mopar.runtime.variants import VARIANTS
from mopar.types import Network, Profile, TensorCoding, UsageError
from tests.models import materialise, sample_inputs
from tests.pipeline.codecs.test_choose import COSTS
from tests.runtime.http.identity import LOSSLESS

MODEL = "conv_chain"
SLOW = PlanOptions(platform="container-http", network=Network(20.0), slo_ms=None)
CODECS = MessageCodecs(LOSSLESS)


@pytest.fixture(scope="module")
def known() -> tuple[Model, Profile]:
    return predict_model(materialise(MODEL))


def planned(known: tuple[Model, Profile], options: PlanOptions, codecs: CodecOptions | None = None) -> PlanWithCodecs:
    requests = [sample_inputs(MODEL, seed) for seed in range(4)]
    calibration = Calibration(tuple(requests[::2]), tuple(requests[1::2]))
    return choose(*known, options, calibration, codecs or CodecOptions(), COSTS, messages=CODECS)


def at(known: tuple[Model, Profile], options: PlanOptions = SLOW) -> PlanOptions:
    """Cut in the middle."""
    cuts = known[1].cut_positions
    return replace(options, cuts=(cuts[len(cuts) // 2].index,))


def test_codecs_are_measured_on_values() -> None:
    """Ratios by hand: half of the floats are 0, and codes of others cannot be under their mantissas' bytes."""
    half = np.random.default_rng(0).standard_normal((2, 1 << 18), dtype=np.float32)
    half[:, ::2] = 0
    found = {coding.text: coding for coding in CODECS.codings([half[0], half[1]])}
    assert found.keys() == VARIANTS.keys()
    assert 0.375 < found["blosc2:zstd-shuffle"].ratio < 0.6
    for coding in found.values():
        assert coding.ratio <= coding.bound_ratio <= 1.0
        assert coding.decode_ms_per_mib > 0
        assert coding.encode_ms_per_mib > 0
        assert coding.by_gateway
    noise = np.random.default_rng(0).integers(0, 256, 1 << 20, dtype=np.uint8)
    assert not list(CODECS.codings([noise]))
    assert not list(CODECS.codings([np.zeros(63, np.float32)]))


def test_what_a_request_may_send_is_bounded_by_the_worst_of_the_samples() -> None:
    zeros, mixed = np.zeros(1 << 18, np.float32), np.random.default_rng(0).standard_normal(1 << 18, dtype=np.float32)
    for coding in CODECS.codings([zeros, mixed]):
        assert coding.ratio == pytest.approx(coding.bound_ratio / 1.1 / 2, rel=0.01) or coding.bound_ratio == 1.0


def test_samples_are_from_all_of_a_tensor() -> None:
    value = np.arange(1 << 20, dtype=np.int64)
    pieces = list(_pieces(value, 1 << 20))
    assert sum(piece.nbytes for piece in pieces) == 1 << 20
    firsts = [int(piece.view(np.int64)[0]) for piece in pieces]
    assert firsts[0] == 0
    assert firsts[-1] >= (1 << 20) * 7 // 8
    assert [piece.nbytes for piece in _pieces(np.zeros(5, np.float32), 1 << 20)] == [20]


def test_without_a_budget_tensors_are_compressed_where_that_is_quicker(known: tuple[Model, Profile]) -> None:
    found, raw = planned(known, at(known)), make_plan(known[1], at(known))
    assert found.plan.codecs
    assert all(is_lossless(text) for text in found.plan.codecs.values())
    assert found.accuracy is None
    assert not found.codings
    assert found.plan.predicted.latency_ms < raw.predicted.latency_ms
    free = planned(known, SLOW)
    assert free.plan.predicted.cost_per_million_usd <= make_plan(known[1], SLOW).predicted.cost_per_million_usd


class _Given(MessageCodecs):
    """Of the model's input, codecs that send it from the quickest on, and are dear to decode, less so, and cheap."""

    def codings(self, values: Sequence[Array], texts: Collection[str] = VARIANTS) -> Iterator[TensorCoding]:
        """In place of measurements."""
        if values[0].shape == sample_inputs(MODEL, 0)["image"].shape and texts:
            yield TensorCoding("blosc2:zstd-shuffle", 0.3, 0.0, 250.0, by_gateway=True)
            yield TensorCoding("blosc2:lz4-bitshuffle", 0.8, 0.0, 41.0, by_gateway=True)
            yield TensorCoding("blosc2:lz4-shuffle", 0.9, 0.0, 5.0, by_gateway=True)


def test_the_cheapest_codec_is_found_where_the_quickest_is_dearer_than_none(known: tuple[Model, Profile]) -> None:
    """At 20 Mbit/s a MiB takes 420 ms, 210 of them billed; with the codecs 376 and 313, 377 and 209, 382 and 194."""
    model, profile = known
    calibration = Calibration((sample_inputs(MODEL, 0),), ())
    codecs = _Given(LOSSLESS)
    found = choose(model, profile, SLOW, calibration, CodecOptions(), messages=codecs)
    offered = [{}, *({"image": coding} for coding in codecs.codings([sample_inputs(MODEL, 0)["image"]]))]
    costs = [make_plan(profile, SLOW, codings).predicted.cost_per_million_usd for codings in offered]
    assert costs[3] < costs[2] < costs[0] < costs[1]
    assert found.plan.codecs == {"image": "blosc2:lz4-shuffle"}
    assert found.plan.predicted.cost_per_million_usd == pytest.approx(min(costs))


@pytest.mark.parametrize("mbit", [1.0, 20.0, 1000.0, 1e5])
def test_no_plan_is_slower_than_raw(known: tuple[Model, Profile], mbit: float) -> None:
    options = at(known, replace(SLOW, network=Network(mbit)))
    found, raw = planned(known, options), make_plan(known[1], options)
    assert found.plan.predicted.latency_ms <= raw.predicted.latency_ms
    assert bool(found.plan.codecs) or mbit > 20.0


def test_none_is_worth_it_in_shared_memory(known: tuple[Model, Profile]) -> None:
    assert not planned(known, at(known, PlanOptions(slo_ms=None))).plan.codecs


def test_a_budget_prefers_what_sends_less(known: tuple[Model, Profile]) -> None:
    """Graphs' codecs are of tensors between functions; the model's own are compressed."""
    found = planned(known, at(known), CodecOptions(50.0, "relative"))
    assert found.accuracy is not None
    lossy = {name for name, text in found.plan.codecs.items() if not is_lossless(text)}
    assert lossy
    assert not lossy & {spec.name for spec in (*known[1].inputs, *known[1].outputs)}
    assert found.codings.keys() == lossy


def test_what_runs_the_plan_says_which_tensors_have_codecs(known: tuple[Model, Profile]) -> None:
    """An entry function encodes and decodes nothing itself, and a state machine passes on no codes."""
    own = {spec.name for spec in (*known[1].inputs, *known[1].outputs)}
    options = replace(at(known), prices="aws-lambda-x86")
    gateway, entry, steps = (
        planned(known, replace(options, orchestration=name)).plan.codecs.keys()
        for name in ("gateway", "entry", "step-functions")
    )
    assert gateway & own
    assert entry == gateway - own
    assert entry
    assert not steps
    with pytest.raises(UsageError, match="does not apply"):
        planned(known, replace(options, orchestration="step-functions"), CodecOptions(forced={"all": "blosc2"}))


def test_forced_codecs_of_messages(known: tuple[Model, Profile]) -> None:
    found = planned(known, at(known), CodecOptions(forced={"all": "blosc2:lz4-shuffle"}))
    assert set(found.plan.codecs.values()) == {"blosc2:lz4-shuffle"}
    best = planned(known, at(known), CodecOptions(forced={"all": "blosc2"}))
    assert set(best.plan.codecs.values()) <= VARIANTS.keys()
    assert limits_of(SLOW).shares_memory is False
    with pytest.raises(UsageError, match="no such tensor"):
        planned(known, at(known), CodecOptions(forced={"nothing": "blosc2"}))
