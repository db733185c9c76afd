"""The headline figures, each from round numbers that can be verified on paper.

Two layers run 50 ms each and need 512 MiB each while they run, which is half a GiB for a tenth of a second in all:
0.05 GiB-s *in need*. A GiB-s costs 0.00002 USD.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from mopar.bundle import Bundle
from mopar.measurement.single import chain_bundle
from mopar.pipeline.bench.configs import Config
from mopar.pipeline.bench.needs import Needs
from mopar.pipeline.bench.rows import latency_of, ratios_of
from mopar.pipeline.bench.run import _row, needed_gb_s
from mopar.pipeline.bench.served import Samples
from mopar.planning import Size, Slice, chain_shape, evaluate, plan_cuts
from mopar.profiling.patterns import patterns_of
from mopar.types import EngineOptions, Profile, RuntimeCosts, TensorSpec, WholeProfile
from tests.profiles import FREE, MIB, PAPER, chain

BOOK = replace(PAPER, gib_s_usd=2e-5)


@pytest.fixture
def profile() -> Profile:
    """The two layers; calls, the runtime and tensors cost nothing."""
    two = chain(2, latency_ms=50.0, weight=512 * MIB, activation=0)
    return replace(two, runtime=RuntimeCosts(0.0, 0.0, 0.0, 0.0, 0.0), whole=WholeProfile(100.0, 0.0, 1024.0, 0.0, 0.0))


def test_predicted_of_given_sizes(profile: Profile) -> None:
    """1 GiB for 50 ms and half a GiB for 50 ms: 0.05 + 0.025 = 0.075 GiB-s, of which 0.05 is in need: two thirds.

    0.075 x 0.00002 USD x 1,000,000 = 1.50 USD.
    """
    sizes = Size(1024, 1.0, 1), Size(512, 1.0, 1)
    found = evaluate(profile, BOOK, FREE, chain_shape(profile, [Slice(0, 1, sizes[0]), Slice(1, 2, sizes[1])]))
    assert found.latency_ms == pytest.approx(100.0)
    assert found.gb_s_per_request == pytest.approx(0.075)
    assert found.cost_per_million_usd == pytest.approx(1.50)
    assert found.efficiency == pytest.approx(2 / 3)
    assert found.memory_mib == 1536


def test_predicted_of_a_plan_and_of_the_unsplit_model(profile: Profile) -> None:
    """Split, each function holds the 512 MiB that it needs for 50 ms: 0.05 GiB-s, 1.00 USD, and nothing is idle.

    Unsplit, 1 GiB is held for 100 ms: 0.1 GiB-s, 2.00 USD, and half of it is idle at any time.
    """
    made = plan_cuts(profile, BOOK, FREE, [1], headroom_share=0.0, headroom_min_mib=0.0)
    split, unsplit = made.predicted, made.unsplit
    assert [function.memory_mib for function in made.functions] == [512, 512]
    assert (split.gb_s_per_request, unsplit.gb_s_per_request) == pytest.approx((0.05, 0.1))
    assert (split.cost_per_million_usd, unsplit.cost_per_million_usd) == pytest.approx((1.0, 2.0))
    assert (split.efficiency, unsplit.efficiency) == pytest.approx((1.0, 0.5))
    assert (split.latency_ms, unsplit.latency_ms) == pytest.approx((100.0, 100.0))


def test_predicted_waits_for_every_hop_and_bills_the_half_inside(profile: Profile) -> None:
    """Two calls of 10 ms, half of it inside: 120 ms; billed are 55 ms of half a GiB twice, 0.055 GiB-s, 0.005 of it
    for communication."""
    limits = replace(FREE, shares_host=False, hop_ms=10.0, hop_ms_per_mib=0.0, hop_billed_share=0.5)
    found = plan_cuts(profile, BOOK, limits, [1], headroom_share=0.0, headroom_min_mib=0.0).predicted
    assert found.latency_ms == pytest.approx(120.0)
    assert found.gb_s_per_request == pytest.approx(0.055)
    assert (found.compute_gb_s, found.communication_gb_s) == pytest.approx((0.05, 0.005))


def test_a_coupled_book_rounds_what_it_bills_and_adds_its_fee(profile: Profile) -> None:
    """50 ms in units of 40 ms are billed as 80: 2 x 0.5 GiB x 0.08 s are 0.08 GiB-s, 1.60 USD; two fees of 0.20 USD."""
    book = replace(BOOK, billing_unit_ms=40.0, request_usd=2e-7)
    found = plan_cuts(profile, book, FREE, [1], headroom_share=0.0, headroom_min_mib=0.0).predicted
    assert found.gb_s_per_request == pytest.approx(0.08)
    assert found.cost_per_million_usd == pytest.approx(1.6 + 2 * 0.2)


def test_memory_swing(profile: Profile) -> None:
    """A layer of 512 MiB, then one of 128: a swing of three quarters in need. 640 are held all the time: no swing."""
    small = replace(profile.weights[1], bytes=128 * MIB)
    layers = profile.layers[0], replace(profile.layers[1], weight_bytes=128 * MIB)
    found = patterns_of(layers, (profile.weights[0], small), ["Gemm", "Gemm"]).differences
    assert found.in_need.share == pytest.approx(0.75)
    assert found.held.share == 0.0


def served(root: Path, count: int) -> Bundle:
    """So many functions of 512 MiB, or one of 1 GiB."""
    files = tuple((root / f"{index}.onnx",) for index in range(count))
    for (file,) in files:
        file.write_bytes(b"a graph")
    boundaries = tuple((TensorSpec(f"t{index}", "float32", (1,)),) for index in range(count + 1))
    return chain_bundle("two", files, boundaries, EngineOptions(), memory_mib=1024 // count)


def samples(latency_ms: float, held_ms: list[float], engine_ms: list[float]) -> Samples:
    """One request, through a gateway of 256 MiB."""
    return Samples(
        latency_ms=[latency_ms],
        held_ms={f"f{index}": [ms] for index, ms in enumerate(held_ms)},
        engine_ms={f"f{index}": [ms] for index, ms in enumerate(engine_ms)},
        waiting_ms={f"f{index}": [0.0] for index in range(len(held_ms))},
        gateway_mib=256.0,
        gateway_cpu_ms=1.0,
    )


def test_measured_figures_and_their_ratios(profile: Profile, tmp_path: Path) -> None:
    """Split: half a GiB for 60 and for 40 ms is 0.05 GiB-s, 0.045 of it in the engine; in need is 0.05: efficiency 1.

    The gateway holds a quarter of a GiB for the request's 120 ms: 0.03 more. 0.05 GiB-s are 1.00 USD. Unsplit: 1 GiB
    for 100 ms, 0.1 GiB-s and 2.00 USD, with no gateway.
    """
    split = _row(
        Config("mopar-cost", served(tmp_path, 2), None),
        {"f0": Needs(512.0, 40.0), "f1": Needs(512.0, 60.0)}, 90.0,
        samples(120.0, [60.0, 40.0], [50.0, 40.0]), BOOK, profile,
    )  # fmt: skip
    unsplit = _row(
        Config("ort-tuned-unsplit", served(tmp_path, 1), None),
        {"f0": Needs(1024.0, 90.0)}, 90.0, samples(100.0, [100.0], [90.0]), BOOK, profile,
    )  # fmt: skip
    assert (split.gb_s_per_request, unsplit.gb_s_per_request) == pytest.approx((0.05, 0.1))
    assert (split.compute_gb_s, split.communication_gb_s) == pytest.approx((0.045, 0.005))
    assert (split.gb_s_with_gateway, unsplit.gb_s_with_gateway) == pytest.approx((0.08, 0.1))
    assert (split.cost_per_million_usd, unsplit.cost_per_million_usd) == pytest.approx((1.0, 2.0))
    assert split.lambda_mib is not None
    assert min(split.lambda_mib) >= 512
    assert (split.efficiency, unsplit.efficiency) == pytest.approx((1.0, 0.5))
    assert ratios_of([unsplit, split]) == pytest.approx(
        {
            "mopar-cost/ort-tuned-unsplit gb_s": 0.5,
            "mopar-cost/ort-tuned-unsplit latency": 1.2,
            "mopar-cost/ort-tuned-unsplit cost": 0.5,
        }
    )


def test_in_need_over_the_request(profile: Profile) -> None:
    """Half a GiB for 50 ms, twice; activations count like weights: 256 MiB of them for 50 ms are 0.0125 more."""
    assert needed_gb_s(profile) == pytest.approx(0.05)
    layers = replace(profile.layers[0], activation_bytes=256 * MIB), profile.layers[1]
    assert needed_gb_s(replace(profile, layers=layers)) == pytest.approx(0.0625)


def test_percentiles() -> None:
    """Of 1 to 100 ms: the middle lies between 50 and 51, five in a hundred take 96 ms or more."""
    found = latency_of([float(ms) for ms in range(100, 0, -1)])
    assert (found.p50, found.p95, found.min) == (50.5, 96.0, 1.0)
