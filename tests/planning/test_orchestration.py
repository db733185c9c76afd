"""What runs a plan is part of its price: by figures that are known, and by what they change."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopar.planning import PlanShape, Size, Slice, chain_shape, evaluate, plan, plan_cuts, shape_of, stored
from mopar.planning.model.codings import NO_CODINGS, Codings
from mopar.planning.model.cost_model import CostModel
from mopar.planning.model.orchestration import orchestrated
from mopar.platforms.books import load_book, run_by
from mopar.types import (
    Orchestrated,
    Orchestrator,
    PriceBook,
    Profile,
    Region,
    RuntimeCosts,
    TensorCoding,
    UsageError,
)
from tests.planning.oracle import candidates
from tests.planning.strategies import ORCHESTRATORS
from tests.planning.test_optimum import random_questions
from tests.profiles import COUPLED, FREE, MIB, PAPER, chain, in_halves

BOOK = load_book("aws-lambda-x86")
AT_ONCE = RuntimeCosts(45.0, 0.0, 0.0, wire_ms_per_mib=0.0, init_ms=120.0)
"""Calls take no longer than their layers."""


def priced(profile: Profile, book: PriceBook, shape: PlanShape, codings: Codings = NO_CODINGS) -> Orchestrated | None:
    found = evaluate(profile, book, FREE, shape, codings)
    by = orchestrated(CostModel.of(profile, book, FREE, codings), shape, found.latency_ms)
    without = evaluate(profile, replace(book, orchestrator=None), FREE, shape, codings)
    added = 0.0 if by is None else by.total_per_million_usd
    assert found.cost_per_million_usd == pytest.approx(without.cost_per_million_usd + added)
    assert replace(found, cost_per_million_usd=0.0) == replace(without, cost_per_million_usd=0.0)
    return by


def slices(profile: Profile, *cuts: int) -> PlanShape:
    ends = (0, *cuts, len(profile.layers))
    pieces = pairwise(ends)
    return chain_shape(profile, [Slice(start, stop, Size(1769, 1.0, 1)) for start, stop in pieces])


def test_the_figures_of_the_decision_page() -> None:
    """Three calls of 300 ms, four tensors of 1 MiB or none: by Amazon's pages, in dollars for a million requests."""
    large = replace(chain(3, latency_ms=100.0), runtime=AT_ONCE)
    small = replace(chain(3, latency_ms=100.0, activation=4096), runtime=AT_ONCE)
    express, entry = (run_by(BOOK, name) for name in ("step-functions", "entry"))
    found = [priced(profile, express, slices(profile, 1, 2)) for profile in (large, small)]
    assert [(by.billed_ms, by.objects) for by in found if by] == [(300.0, 4), (300.0, 0)]
    assert [by.cost_per_million_usd for by in found if by] == pytest.approx([1.3125, 1.3125], rel=1e-4)
    assert [by.objects_per_million_usd for by in found if by] == pytest.approx([21.6, 0.0])
    entered = priced(large, entry, slices(large, 1, 2))
    assert entered is not None
    assert (entered.cost_per_million_usd, entered.objects_per_million_usd) == pytest.approx((2.7, 0.0), rel=1e-4)
    longer = replace(chain(3, latency_ms=100.1), runtime=AT_ONCE)
    rounded = priced(longer, express, slices(longer, 1, 2))
    assert rounded is not None
    assert rounded.billed_ms == 400.0


STORED = replace(FREE, payload_bytes=6 * MIB, store_ms=100.0, store_ms_per_mib=10.0)


@pytest.mark.parametrize("name", [None, "gateway", "entry", "step-functions"])
def test_objects_of_a_store_are_paid_for_whatever_runs_the_plan(name: str | None) -> None:
    """Three tensors are put and got by each who reads them; of the unsplit model the input and the output are."""
    profile = replace(chain(2, activation=8 * MIB), runtime=AT_ONCE)
    codings, book = stored(profile, STORED), run_by(BOOK, name)
    for shape, objects in ((slices(profile, 1), 3), (slices(profile), 2)):
        by = orchestrated(CostModel.of(profile, book, STORED, codings), shape, 1.0)
        assert by is not None
        assert by.name == (name or "gateway")
        assert by.objects == objects
        assert by.objects_per_million_usd == pytest.approx(objects * 5.4)
        without = evaluate(profile, replace(book, put_usd=0.0, get_usd=0.0), STORED, shape, codings)
        found = evaluate(profile, book, STORED, shape, codings)
        assert found.cost_per_million_usd - without.cost_per_million_usd == pytest.approx(objects * 5.4)


@pytest.mark.parametrize("by", [None, *ORCHESTRATORS])
@pytest.mark.parametrize("put_usd", [1e-7, 3e-6])
def test_the_search_counts_objects_as_the_plan_does(by: Orchestrator | None, put_usd: float) -> None:
    """By brute force, with cuts at which the tensors are objects and cuts at which they are not, unsplit or not."""
    profile = replace(chain(4, weight=100 * MIB, activation=8 * MIB), runtime=AT_ONCE)
    small = {"t1": replace(profile.tensors[2], bytes=MIB)}
    profile = replace(profile, tensors=tuple(small.get(one.name, one) for one in profile.tensors))
    codings = stored(profile, STORED)
    assert set(codings) == {"x", "t0", "t2", "t3"}
    book = replace(PAPER, put_usd=put_usd, get_usd=put_usd / 10, orchestrator=by)
    everything = [one.predicted.cost_per_million_usd for one in candidates(profile, book, STORED, codings)]
    found = plan(profile, book, STORED, slo_ms=None, exact=True, codings=codings)
    assert found.predicted.cost_per_million_usd == pytest.approx(min(everything), rel=1e-6)
    for reason in found.cuts:
        assert reason.total_usd * 1e6 == pytest.approx(found.predicted.cost_per_million_usd), "the search's own figure"


def test_one_call_and_a_gateway_cost_nothing_of_it() -> None:
    profile = chain(3)
    assert priced(profile, run_by(BOOK, "step-functions"), slices(profile)) is None
    assert priced(profile, run_by(BOOK, "gateway"), slices(profile, 1)) == Orchestrated("gateway", 0.0, 0, 0.0, 0.0)
    assert priced(profile, BOOK, slices(profile, 1)) is None
    with pytest.raises(UsageError, match="--orchestration lambda: prices aws-lambda-x86 have gateway, step-functions"):
        run_by(BOOK, "lambda")


def test_the_more_tensors_share_a_state_the_smaller_are_objects() -> None:
    """Twenty tensors of 10 KB are more than 256 KiB hold in base64 with a pointer each; six are not."""
    profile = replace(chain(19, activation=10_000), runtime=AT_ONCE)
    book = run_by(BOOK, "step-functions")
    few, many = (priced(profile, book, slices(profile, *cuts)) for cuts in (range(1, 6), range(1, 19)))
    assert few is not None
    assert many is not None
    assert (few.objects, many.objects) == (0, 20)


def test_tensors_of_which_calls_read_regions_are_objects_however_small() -> None:
    profile = chain(2, activation=4096)
    whole = slices(profile, 1)
    first, second = whole.calls
    (read,) = second.inputs
    part = replace(read, sources=(replace(read.sources[0], region=Region(1, 0, 512)),))
    shape = replace(whole, calls=(first, replace(second, inputs=(part,))))
    book = run_by(BOOK, "step-functions")
    by = [priced(profile, book, one) for one in (whole, shape)]
    assert [(one.objects, one.objects_per_million_usd) for one in by if one] == [(0, 0.0), (1, pytest.approx(5.4))]
    coded = priced(profile, book, shape, {read.tensor: TensorCoding("int8", 0.25, 0.1, 0.1)})
    assert coded is not None
    assert coded.objects == 0, "codes are read whole"


def test_a_dear_orchestrator_leaves_the_model_whole() -> None:
    profile = replace(chain(4, weight=200 * MIB), runtime=AT_ONCE)
    free = plan(profile, PAPER, FREE)
    assert free.verdict == "split"
    assert free.orchestration is None
    cheap, dear = (replace(PAPER, orchestrator=Orchestrator("x", request_usd=usd)) for usd in (1e-9, 1e-3))
    found = plan(profile, cheap, FREE)
    assert shape_of(found) == shape_of(free)
    assert found.orchestration == Orchestrated("x", 0.0, 0, 1e-9 * 1e6, 0.0)
    assert found.unsplit == free.unsplit
    whole = plan(profile, dear, FREE)
    assert whole.verdict == "unsplit"
    assert whole.predicted == free.unsplit
    assert "the best split has 4 functions: 9" in whole.reason


def test_reasons_of_cuts_count_it() -> None:
    """Without its only cut, a plan needs nothing that runs it."""
    profile = replace(chain(2, weight=200 * MIB), runtime=AT_ONCE)
    book = replace(PAPER, orchestrator=Orchestrator("x", 1e-8, 1.7e-5, 16, 1.0))
    found = plan(profile, book, FREE)
    (reason,) = found.cuts
    assert reason.total_usd * 1e6 == pytest.approx(found.predicted.cost_per_million_usd)
    alone = plan_cuts(profile, book, FREE, [], slo_ms=None).predicted.cost_per_million_usd
    assert reason.without_usd is not None
    assert reason.without_usd * 1e6 == pytest.approx(alone - found.predicted.cost_per_million_usd)


HEAVY = st.sampled_from([60 * MIB, 150 * MIB, 300 * MIB])
APART = replace(FREE, shares_host=False, hop_ms=6.0, hop_ms_per_mib=1.0, hop_billed_share=0.1)


@random_questions
@given(st.lists(st.tuples(st.floats(1.0, 30.0), HEAVY), min_size=2, max_size=3), st.sampled_from([10.0, 25.0]))
def test_what_is_rounded_up_is_settled(layers: list[tuple[float, int]], unit_ms: float) -> None:
    """By brute force, where each cut saves memory and takes 6 ms, of which a unit of time may have none left."""
    profile = chain(len(layers))
    profile = replace(
        profile,
        runtime=AT_ONCE,
        layers=tuple(replace(one, latency_ms=ms) for one, (ms, _) in zip(profile.layers, layers, strict=True)),
        weights=tuple(
            replace(one, bytes=size, resident_bytes=size)
            for one, (_, size) in zip(profile.weights, layers, strict=True)
        ),
    )
    held = Orchestrator("held", gib_s_usd=1.7e-5, memory_mib=100, billing_unit_ms=unit_ms)
    book = replace(COUPLED, memory_step_mib=64, request_usd=0.0, billing_unit_ms=0.0, orchestrator=held)
    everything = [one.predicted.cost_per_million_usd for one in candidates(profile, book, APART)]
    if everything:
        found = plan(profile, book, APART, slo_ms=None)
        assert found.predicted.cost_per_million_usd == pytest.approx(min(everything), rel=1e-6)


def test_parts_that_begin_the_model_pay_for_its_inputs_as_objects() -> None:
    """As any first slice does: otherwise parts would seem cheaper than the unsplit model, and each gets its input."""
    profile = in_halves(3)
    book = replace(PAPER, put_usd=1.0, get_usd=0.1)
    codings = {"x": stored(profile, replace(STORED, payload_bytes=MIB // 2))["x"]}
    found = plan(profile, book, STORED, slo_ms=None, codings=codings)
    unsplit = plan(profile, book, STORED, slo_ms=None, codings=codings, max_functions=1, max_parts=1)
    assert found.predicted.cost_per_million_usd <= unsplit.predicted.cost_per_million_usd
