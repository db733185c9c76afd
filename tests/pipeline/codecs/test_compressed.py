"""Codes of graphs that messages compress: chosen, built, served and counted as both together."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import uvloop

from mopar.bundle import build, open_bundle
from mopar.bundle.sent_codecs import code_ratios, functions_that_encode, sent_codecs
from mopar.codecs import Fitted
from mopar.graph import Model, layers_of
from mopar.measurement.recording import record
from mopar.pipeline.codecs.calibration import Calibration
from mopar.pipeline.codecs.choose import choose
from mopar.pipeline.codecs.file import codecs_path, read_codecs, write_codecs
from mopar.pipeline.codecs.losses import Alone, Losses
from mopar.pipeline.codecs.messages import MessageCodecs
from mopar.pipeline.codecs.offers import Boundary
from mopar.pipeline.codecs.options import CodecOptions, PlanWithCodecs
from mopar.pipeline.codecs.search import Search
from mopar.pipeline.profile import predict_model
from mopar.pipeline.stages import PlanOptions, limits_of, make_plan
from mopar.planning import worthwhile
from mopar.types import Network, Plan, Profile, TensorCoding, code_text, graph_text
from tests.models import materialise, sample_inputs
from tests.pipeline.codecs.test_choose import COSTS
from tests.platforms.local.test_http_codecs import served
from tests.runtime.http.identity import LOSSLESS

MODEL = "conv_chain"
CODECS = MessageCodecs(LOSSLESS)


@pytest.fixture(scope="module")
def known() -> tuple[Model, Profile]:
    return predict_model(materialise(MODEL))


def planned(known: tuple[Model, Profile], codecs: CodecOptions, mbit: float = 20.0) -> PlanWithCodecs:
    requests = [sample_inputs(MODEL, seed) for seed in range(8)]
    calibration = Calibration(tuple(requests[::2]), tuple(requests[1::2]))
    return choose(*known, options(known, mbit), calibration, codecs, COSTS, messages=CODECS)


def options(known: tuple[Model, Profile], mbit: float) -> PlanOptions:
    """Cut in the middle."""
    cut = known[1].cut_positions[len(known[1].cut_positions) // 2].index
    return PlanOptions(platform="container-http", network=Network(mbit), cuts=(cut,), slo_ms=None)


def test_a_budget_buys_codes_that_messages_compress(known: tuple[Model, Profile]) -> None:
    """On a slow network nothing is as quick that loses as little."""
    found = planned(known, CodecOptions(1.0, "relative"))
    assert found.accuracy is not None
    assert found.accuracy.measured <= 1.0
    (tensor,) = found.codings
    assert graph_text(found.plan.codecs[tensor]).startswith("uniform:")
    assert code_text(found.plan.codecs[tensor]).startswith("blosc2:zstd-")
    assert found.codings[tensor].text == graph_text(found.plan.codecs[tensor])
    with_int8 = planned(known, CodecOptions(forced={tensor: "int8"}))
    assert found.plan.predicted.latency_ms < with_int8.plan.predicted.latency_ms


def test_without_the_library_it_is_not_offered(known: tuple[Model, Profile]) -> None:
    requests = tuple(sample_inputs(MODEL, seed) for seed in range(2))
    found = choose(*known, options(known, 20.0), Calibration(requests, requests), CodecOptions(20.0, "relative"), COSTS)
    assert found.plan.codecs
    assert not any(code_text(text) for text in found.plan.codecs.values())


@pytest.mark.usefixtures("nothing_left")
def test_functions_answer_as_without_compression_and_send_fewer_bytes(
    known: tuple[Model, Profile], tmp_path: Path
) -> None:
    """Bit for bit what the same graphs answer in this process, where codes are passed as they are."""
    found = planned(known, CodecOptions(forced={"all": "uniform:30"}))
    (text,) = set(found.plan.codecs.values())
    assert graph_text(text) == "uniform:30"
    (tensor,) = found.codings
    assert found.accuracy is not None
    plan = replace(found.plan, coding=write_codecs(codecs_path(tmp_path / "p"), found.codings, found.accuracy))
    codings = read_codecs(codecs_path(tmp_path / "p"), plan)
    build(known[0], plan, tmp_path / "compressed", codings=codings)
    build(
        known[0], replace(plan, codecs={tensor: graph_text(text)}, code_ratios={}), tmp_path / "plain", codings=codings
    )
    compressed, plain = (open_bundle(tmp_path / kind) for kind in ("compressed", "plain"))
    assert sent_codecs(plan, compressed.manifest.codes) == {f"{tensor}/uniform": code_text(text)}
    assert functions_that_encode(compressed.manifest) == {function.name for function in plan.functions}
    assert not functions_that_encode(plain.manifest)
    inputs = sample_inputs(MODEL, 9)
    got, sent, received = uvloop.run(served(compressed, inputs))
    _, plain_sent, plain_received = uvloop.run(served(plain, inputs))
    want = record(compressed, inputs).outputs
    assert got == {name: value.tobytes() for name, value in want.items()}
    ratio = code_ratios(plan, compressed.manifest.codes)[f"{tensor}/uniform"]
    (size,) = (one.bytes for one in known[1].tensors if one.name == tensor)
    for less in (plain_sent - sent, plain_received - received):  # two requests, and a description in each message
        assert less > 2 * (size / 4) * (1.0 - ratio) - 400


def test_of_ways_to_compress_the_same_codes_the_quickest_is_kept(known: tuple[Model, Profile]) -> None:
    _, profile = known
    tensor = next(one.name for one in profile.tensors if one.producer >= 0 and one.consumers)
    slow = TensorCoding("uniform:5+blosc2:zstd-bitshuffle", 0.1, 2.0, 2.0, most_ratio=0.12, graph_ratio=0.25)
    quick = replace(slow, text="uniform:5+blosc2:zstd-shuffle", encode_ms_per_mib=1.0)
    other = replace(slow, text="uniform:2+blosc2:zstd-shuffle", ratio=0.2)
    found = worthwhile(profile, limits_of(options(known, 20.0)), {tensor: [slow, other, quick]})
    assert found == {tensor: (quick, other)}


class Together:
    """Measures of coarse codes that lose no point by themselves, and three where two tensors have them; none may be
    coarser."""

    def alone(self, _plan: Plan, _tensor: str, fitted: Fitted) -> Alone:
        return Alone(50.0 * (fitted.parameter > 45), fitted.parameter / 1e3)

    def of(self, _plan: Plan, fitted: Mapping[str, Fitted]) -> tuple[str, float]:
        steps = [one.parameter for one in fitted.values()]
        return "top1", 50.0 * (max(steps) > 45) + 3.0 * (sum(step == 45 for step in steps) > 1)


def test_where_coarse_codes_lose_together_one_tensor_has_a_finer_one(known: tuple[Model, Profile]) -> None:
    """Not none at all, as where finer codes are not looked at since the coarse one loses nothing alone."""
    model, profile = known
    requests = tuple(sample_inputs(MODEL, seed) for seed in range(2))
    cuts = [cut.index for cut in profile.cut_positions]
    asked = replace(options(known, 20.0), cuts=(cuts[len(cuts) // 3], cuts[2 * len(cuts) // 3]))
    names = {name for graph in make_plan(profile, asked).graphs[1:] for name in graph.inputs}
    coarse = TensorCoding("uniform:45", 0.1, 0.1, 0.1)
    steps = [*range(60, 45, -1), 45, 10]
    codings = [replace(coarse, text=f"uniform:{step}", ratio=0.2 - step / 1e3) for step in steps]
    choices = dict.fromkeys(names, codings)
    boundary, losses = Boundary(model, layers_of(model), profile, requests), cast("Losses", Together())
    found = Search(profile, asked, CodecOptions(0.5), boundary, choices, lambda: losses).run(
        lambda _stage, _share: None
    )
    assert found is not None
    assert len(names) == 2
    assert sorted(found.plan.codecs.values()) == ["uniform:10", "uniform:45"]
