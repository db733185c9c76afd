"""Tensors that are sent encoded: the search finds what brute force does, over cuts and over codecs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopar.planning import Slice, chain_shape, check_plan, evaluate, plan, plan_cuts, shape_of, slice_memory_mib
from mopar.planning.codecs import cheapest, stored, worthwhile
from mopar.planning.model.codings import Codings, applicable
from mopar.planning.model.cost_model import CostModel
from mopar.planning.model.shape import Size
from mopar.planning.model.table import slice_table
from mopar.planning.policy import DEFAULT
from mopar.types import OBJECT_STORE, InfeasibleError, PlatformLimits, PriceBook, Profile, TensorCoding, UsageError
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
    graphs = st.builds(TensorCoding, st.just("int8"), st.sampled_from([0.05, 0.25, 0.5]), time, time)
    messages = st.builds(
        TensorCoding, st.just("blosc2"), st.sampled_from([0.3, 0.6]), time, time,
        most_ratio=st.sampled_from([0.7, 1.0]), library_mib=st.sampled_from([0.0, 2.0, 10.0]), by_gateway=st.booleans(),
        read_ms_per_mib=time, made_ms_per_mib=time, graph_ratio=st.sampled_from([0.0, 0.25]),
    )  # fmt: skip
    one = graphs | messages
    return st.dictionaries(st.sampled_from(names), one, max_size=len(names))


@random_questions
@given(profiles(most_layers=4), books(), limits(), st.data())
def test_the_best_cuts_of_encoded_tensors(
    profile: Profile, book: PriceBook, limit: PlatformLimits, data: st.DataObject
) -> None:
    drawn = data.draw(codings_of(profile))
    codings = applicable(profile, drawn)
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
    crossing |= {name for name, _ in found.outputs if name in codings}
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
    chosen = cheapest(worthwhile(profile, limit, offers))
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
    codings = applicable(profile, data.draw(codings_of(profile)))
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
    profile = chain(2)
    assert not worthwhile(profile, FREE, {"t0": [HALF]})
    assert worthwhile(profile, WIRE, {"t0": [HALF, TensorCoding("slow", 0.1, 90.0, 90.0)]}) == {"t0": (HALF,)}


MESSAGES = TensorCoding("blosc2", 0.5, 0.4, 0.3, most_ratio=0.75, library_mib=2.0, by_gateway=True)


def test_figures_of_the_models_own_tensors() -> None:
    """The gateway encodes an input of 4 MiB for 1.6 ms, and decodes an output for 1.2, each 2.5 longer than a function.

    That is latency, and not billed.
    """
    profile = chain(2, activation=4 * MIB)
    shape = chain_shape(profile, [Slice(0, 1, Size(512, 1.0, 1)), Slice(1, 2, Size(512, 1.0, 1))])
    raw, ends = (evaluate(profile, PAPER, WIRE, shape, codings) for codings in ({}, {"x": MESSAGES, "t1": MESSAGES}))
    assert raw.latency_ms - ends.latency_ms == pytest.approx(2 * (2 * 40.0 - 4 * (0.4 + 0.3) - 2.5))
    for first, second, own_ms in zip(raw.functions, ends.functions, (4 * 0.3, 4 * 0.4), strict=True):
        sent_ms = 2 * 40.0 * WIRE.wire_billed_share
        assert second.latency_ms - first.latency_ms == pytest.approx(own_ms - sent_ms)


def test_a_function_holds_the_codes_as_they_may_be_and_their_library_once() -> None:
    """Of 4 MiB at most 3: one code in the first slice of two, and two in the second; 2 MiB of library in each."""
    profile = chain(2, activation=4 * MIB)
    codings = {"t0": MESSAGES, "t1": MESSAGES}
    for start, stop, codes in ((0, 1, 1), (1, 2, 2), (0, 2, 1)):
        more = slice_memory_mib(profile, start, stop, codings) - slice_memory_mib(profile, start, stop)
        assert more == pytest.approx(codes * 3.0 + 2.0)
    large = {"t0": MESSAGES, "t1": replace(MESSAGES, library_mib=10.0)}
    for start, stop, library in ((0, 1, 2.0), (1, 2, 10.0)):
        more = slice_memory_mib(profile, start, stop, large) - slice_memory_mib(profile, start, stop, codings)
        assert more == pytest.approx(library - 2.0)


def test_codecs_of_the_models_own_tensors_count_the_side_that_they_cross() -> None:
    """To encode and decode takes 26 ms/MiB: less than 40 of the wire, twice a half MiB, and more than 20 one way."""
    profile = chain(2, activation=4 * MIB)
    slow = replace(MESSAGES, encode_ms_per_mib=13.0, decode_ms_per_mib=13.0)
    offers = {"x": [MESSAGES, slow], "t0": [slow, HALF], "t1": [HALF]}
    assert worthwhile(profile, WIRE, offers) == {"x": (MESSAGES,), "t0": (HALF, slow)}


LIMITED = replace(WIRE, payload_bytes=6 * MIB, store_ms=100.0, store_ms_per_mib=10.0, store_mib=9.0)


def test_what_no_message_holds_is_worth_any_codec_with_which_one_does() -> None:
    """Of 8 MiB, three quarters fit, whatever time they take, and more do not, however quick."""
    profile = chain(2, activation=8 * MIB)
    slow = replace(MESSAGES, encode_ms_per_mib=900.0)
    tight, wide = replace(MESSAGES, most_ratio=0.76), HALF
    assert worthwhile(profile, LIMITED, {"t0": [slow, tight, wide]}) == {"t0": (wide, slow)}
    assert not worthwhile(profile, LIMITED, {"t0": [tight]})
    small = chain(2, activation=MIB)
    assert not worthwhile(small, LIMITED, {"t0": [slow]})


def test_codes_that_messages_compress_are_held_beside_what_is_sent() -> None:
    """Of 8 MiB a quarter as the graph makes it, and 0.12 as it is sent at most."""
    profile = chain(2, activation=8 * MIB)
    both = TensorCoding("int8+blosc2", 0.1, 0.0, 0.0, most_ratio=0.12, library_mib=2.0, graph_ratio=0.25)
    found = plan_cuts(profile, ROOMY, WIRE, [1], slo_ms=None, codings={"t0": both})
    raw = evaluate(profile, ROOMY, WIRE, shape_of(found))
    for before, after in zip(raw.functions, found.predicted.functions, strict=True):
        assert after.memory_mib - before.memory_mib == pytest.approx(8 * (0.25 + 0.12) + 2.0)
    assert raw.latency_ms - found.predicted.latency_ms == pytest.approx(2 * 8 * 40.0 * (1.0 - 0.1))
    assert found.code_ratios == {"t0": pytest.approx(0.12 / 0.25)}


def test_a_store_takes_what_no_message_holds() -> None:
    """8 MiB are put in 180 ms and got in 180, in place of 2 x 320 ms of wire, by the gateway the model's own."""
    profile = chain(2, activation=8 * MIB)
    with pytest.raises(InfeasibleError, match="payload_bytes"):
        plan_cuts(profile, ROOMY, LIMITED, [1], slo_ms=None)
    objects = stored(profile, LIMITED)
    assert set(objects) == {"x", "t0", "t1"}
    found = plan_cuts(profile, ROOMY, LIMITED, [1], slo_ms=None, codings=objects)
    assert found.codecs == dict.fromkeys(("x", "t0", "t1"), OBJECT_STORE)
    assert not found.code_ratios
    shape = shape_of(found)
    raw = evaluate(profile, ROOMY, LIMITED, shape)
    assert raw.latency_ms - found.predicted.latency_ms == pytest.approx(4 * 320.0 - 6 * 180.0)
    for before, after in zip(raw.functions, found.predicted.functions, strict=True):
        assert after.memory_mib - before.memory_mib == pytest.approx(9.0)
        assert before.billed_ms - after.billed_ms == pytest.approx(2 * 320.0 * WIRE.wire_billed_share)
    assert not stored(chain(2), LIMITED)
    with pytest.raises(UsageError, match="--object-store"):
        stored(profile, WIRE)
