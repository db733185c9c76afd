"""Tensors that are sent encoded: the search finds what brute force does, over cuts and over codecs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopar.planning import Slice, chain_shape, check_plan, evaluate, plan, plan_cuts, shape_of, slice_memory_mib
from mopar.planning.codecs import cheapest, worthwhile
from mopar.planning.model.codings import Codings, between_functions
from mopar.planning.model.cost_model import CostModel
from mopar.planning.model.shape import Size
from mopar.planning.model.table import slice_table
from mopar.planning.policy import DEFAULT
from mopar.types import InfeasibleError, PlatformLimits, PriceBook, Profile, TensorCoding
from tests.planning.oracle import candidates
from tests.planning.strategies import books, limits, profiles
from tests.planning.test_optimum import SLACK, random_questions
from tests.profiles import FREE, MIB, PAPER, STRICT, chain

WIRE = replace(FREE, hop_ms=1.0, hop_ms_per_mib=40.0)
ROOMY = replace(PAPER, memory_max_mib=1024, memory_step_mib=64)
HALF = TensorCoding("fp16", 0.5, 0.4, 0.3)


def codings_of(profile: Profile) -> st.SearchStrategy[dict[str, TensorCoding]]:
    names = [tensor.name for tensor in profile.tensors]
    time = st.floats(0.0, 20.0)
    one = st.builds(TensorCoding, st.just("int8"), st.sampled_from([0.05, 0.25, 0.5]), time, time)
    return st.dictionaries(st.sampled_from(names), one, max_size=len(names))


@random_questions
@given(profiles(most_layers=4), books(), limits(), st.data())
def test_the_best_cuts_of_encoded_tensors(
    profile: Profile, book: PriceBook, limit: PlatformLimits, data: st.DataObject
) -> None:
    drawn = data.draw(codings_of(profile))
    codings = between_functions(profile, drawn)
    everything = list(candidates(profile, book, limit, codings))
    if not everything:
        with pytest.raises(InfeasibleError):
            plan(profile, book, limit, slo_ms=None, codings=drawn, exact=True)
        return
    found = plan(profile, book, limit, slo_ms=None, codings=drawn, exact=True)
    check_plan(found, len(profile.layers))
    assert evaluate(profile, book, limit, shape_of(found), codings) == found.predicted
    best = min(one.predicted.cost_per_million_usd for one in everything)
    assert found.predicted.cost_per_million_usd == pytest.approx(best, rel=SLACK)
    crossing = {name for graph in found.graphs for name in graph.inputs if name in codings}
    assert found.codecs == {name: codings[name].text for name in crossing}
    quick = plan(profile, book, limit, objective="latency", codings=drawn)
    least_ms = min(one.predicted.latency_ms for one in everything)
    assert quick.predicted.latency_ms <= least_ms * DEFAULT.solve.as_fast * (1 + SLACK)


@random_questions
@given(st.integers(2, 4), st.data())
def test_no_other_codecs_make_any_plan_faster(count: int, data: st.DataObject) -> None:
    """Over every codec, or none, of every tensor, and all cuts."""
    base = chain(count, latency_ms=data.draw(st.floats(0.1, 9.0)))
    sizes = data.draw(st.lists(st.integers(1, 8 * MIB // 4), min_size=count + 1, max_size=count + 1))
    tensors = tuple(
        replace(one, bytes=4 * size, shape=(1, size)) for one, size in zip(base.tensors, sizes, strict=True)
    )
    profile = replace(base, tensors=tensors)
    limit = replace(WIRE, hop_ms_per_mib=data.draw(st.sampled_from([0.5, 8.0, 84.0])))
    offers = {tensor.name: data.draw(_offers()) for tensor in tensors[1:]}
    chosen = cheapest(worthwhile(profile.runtime, limit, offers))
    found = plan(profile, ROOMY, limit, objective="latency", policy=STRICT, codings=chosen)
    forced = plan_cuts(profile, ROOMY, limit, [1], objective="latency", codings=chosen)
    least_ms = least_forced_ms = float("inf")
    for codings in assignments(offers):
        for one in candidates(profile, ROOMY, limit, codings):
            least_ms = min(least_ms, one.predicted.latency_ms)
            if one.cuts == (1,):
                least_forced_ms = min(least_forced_ms, one.predicted.latency_ms)
    assert found.predicted.latency_ms <= least_ms * (1 + SLACK)
    assert forced.predicted.latency_ms <= least_forced_ms * (1 + SLACK)


def _offers() -> st.SearchStrategy[list[TensorCoding]]:
    time = st.floats(0.0, 30.0)
    texts = [("fp16", 0.5), ("int8", 0.25), ("linear:4", 0.05)]
    drawn = st.tuples(*(st.builds(TensorCoding, st.just(text), st.just(ratio), time, time) for text, ratio in texts))
    return drawn.map(list)


def assignments(offers: Mapping[str, Sequence[TensorCoding]]) -> list[Codings]:
    """Every choice of one codec or none for every tensor but the last, which is the response."""
    names = list(offers)[:-1]
    found = product(*([None, *offers[name]] for name in names))
    return [{name: one for name, one in zip(names, each, strict=True) if one is not None} for each in found]


@random_questions
@given(profiles(most_layers=5), limits(), st.data())
def test_codes_are_in_the_memory_of_every_slice(profile: Profile, limit: PlatformLimits, data: st.DataObject) -> None:
    codings = between_functions(profile, data.draw(codings_of(profile)))
    positions = [0, *(cut.index for cut in profile.cut_positions), len(profile.layers)]
    table = slice_table(CostModel.of(profile, PAPER, limit, codings), positions)
    for row, start in enumerate(positions):
        for column, stop in list(enumerate(positions))[row + 1 :]:
            expected = slice_memory_mib(profile, start, stop, codings)
            assert table.memory_mib[row, column] == pytest.approx(expected)


def test_figures_of_an_encoded_tensor() -> None:
    """4 MiB sent as 2: less on the wire, more in both functions, and the code in both memories."""
    profile = chain(2, activation=4 * MIB)
    shape = chain_shape(profile, [Slice(0, 1, Size(512, 1.0, 1)), Slice(1, 2, Size(512, 1.0, 1))])
    raw, coded = (evaluate(profile, PAPER, WIRE, shape, codings) for codings in ({}, {"t0": HALF}))
    assert raw.latency_ms - coded.latency_ms == pytest.approx(2 * 2 * 40.0 - 4 * (0.4 + 0.3))
    for start, stop in ((0, 1), (1, 2)):
        more = slice_memory_mib(profile, start, stop, {"t0": HALF}) - slice_memory_mib(profile, start, stop)
        assert more == pytest.approx(2.0)
    ends = {"x": HALF, "t1": HALF}  # the model's own input and output
    assert evaluate(profile, PAPER, WIRE, shape, ends) == raw


def test_a_payload_limit_counts_codes() -> None:
    profile = chain(2, activation=4 * MIB)
    small = replace(profile, tensors=tuple(replace(t, bytes=4) if t.name != "t0" else t for t in profile.tensors))
    tight = replace(WIRE, payload_bytes=3 * MIB)
    with pytest.raises(InfeasibleError, match="payload_bytes"):
        plan_cuts(small, PAPER, tight, [1])
    assert plan_cuts(small, PAPER, tight, [1], codings={"t0": HALF}).codecs == {"t0": "fp16"}


def test_nothing_is_worthwhile_in_shared_memory() -> None:
    runtime = chain(2).runtime
    assert not worthwhile(runtime, FREE, {"t0": [HALF]})
    assert worthwhile(runtime, WIRE, {"t0": [HALF, TensorCoding("slow", 0.1, 90.0, 90.0)]}) == {"t0": (HALF,)}
