"""Parts that read and make encoded tensors: the search finds the optimum of brute force."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mopar.planning import Size, Slice, chain_shape, check_plan, encodable, evaluate, for_parts, plan, shape_of
from mopar.planning.model.codings import RAW, Codings
from mopar.planning.space.problem import free_problem
from mopar.planning.space.question import make_question
from mopar.types import InfeasibleError, Plan, PlatformLimits, PriceBook, Profile, Share, TensorCoding
from tests.planning.sharded import Everything, sharded
from tests.planning.strategies import books, limits
from tests.planning.test_codings import codings_of
from tests.planning.test_groups import BOOKS, PLATFORMS, many
from tests.profiles import FREE, PAPER, STRICT, halves, in_halves

SLACK = 1e-6
HALF = TensorCoding("fp16", 0.5, 0.4, 0.3)


@st.composite
def encoded(draw: st.DrawFn, profile: Profile) -> Codings:
    """Codecs of some tensors, of which some take shares along some axes only."""
    axes = st.sampled_from([None, None, (0, 1), (0,), ()])
    return {name: replace(one, share_axes=draw(axes)) for name, one in draw(codings_of(profile)).items()}


def valid(found: Plan, profile: Profile, book: PriceBook, limit: PlatformLimits, codings: Codings) -> None:
    check_plan(found, len(profile.layers))
    assert evaluate(profile, book, limit, shape_of(found), codings) == found.predicted
    made = [
        share for graph in found.graphs if graph.part for share in graph.part.outputs if share.tensor in found.codecs
    ]
    assert all(codings[share.tensor].encodes(share) for share in made)


@many
@given(sharded(most_layers=5), BOOKS, PLATFORMS, st.data())
def test_every_slice_is_the_quickest_way_and_what_it_says(
    profile: Profile, book: PriceBook, limit: PlatformLimits, data: st.DataObject
) -> None:
    codings = data.draw(encoded(profile))
    places = [0, *(cut.index for cut in profile.cut_positions), len(profile.layers)]
    free = replace(limit, max_functions=None)
    problem = free_problem(make_question(profile, book, free, codings=codings), places)
    everything = Everything(profile, book, limit, codings=codings)
    for group in problem.groups:
        for one, other in combinations(range(len(places)), 2):
            every = [
                Slice(places[one], places[other], Size(1, 1.0, 1, group.parts), steps)
                for steps in everything.paths(places[one], places[other], group.parts)
            ]
            least_ms = min(map(everything.group_ms, every))
            quickest = [piece for piece in every if everything.group_ms(piece) <= least_ms * (1 + SLACK)]
            if not np.isfinite(group.latency_ms[one, other]):
                assert any(everything.sized(piece) is None for piece in quickest)
                continue
            assert group.latency_ms[one, other] == pytest.approx(least_ms)
            sized = everything.sized(next(piece for piece in quickest if piece.steps == group.path(one, other)))
            assert sized is not None
            assert group.memory_mib[one, other] == sized.size.memory_mib
            assert group.cost_usd[one, other] == pytest.approx(everything.group_usd(sized))


@many
@given(sharded(), BOOKS, PLATFORMS, st.sampled_from([None, 0.6, 0.9, 1.2]), st.data())
def test_cheapest_within_an_slo(
    profile: Profile, book: PriceBook, limit: PlatformLimits, share: float | None, data: st.DataObject
) -> None:
    codings = data.draw(encoded(profile))
    everything = list(Everything(profile, book, limit, codings=codings).plans())
    assume(everything)
    slo_ms = None if share is None else share * everything[0][1]
    fit = [usd for usd, ms, _ in everything if slo_ms is None or ms <= slo_ms * (1 + 1e-9)]
    if not fit:
        with pytest.raises(InfeasibleError):
            plan(profile, book, limit, slo_ms=slo_ms, codings=codings)
        return
    found = plan(profile, book, limit, slo_ms=slo_ms, codings=codings)
    valid(found, profile, book, limit, codings)
    assert found.predicted.cost_per_million_usd == pytest.approx(min(fit), rel=SLACK)


@many
@given(sharded(idle=False), BOOKS, PLATFORMS, st.data())
def test_fastest_of_all_ways_through_the_steps(
    profile: Profile, book: PriceBook, limit: PlatformLimits, data: st.DataObject
) -> None:
    codings = data.draw(encoded(profile))
    everything = list(Everything(profile, book, limit, quickest=False, codings=codings).plans())
    assume(everything)
    found = plan(profile, book, limit, objective="latency", policy=STRICT, codings=codings)
    valid(found, profile, book, limit, codings)
    assert found.predicted.latency_ms <= min(ms for _, ms, _ in everything) * (1 + SLACK)


@many
@given(sharded(), books(), limits(), st.sampled_from(["cost", "latency", "balanced"]), st.data())
def test_plans_keep_their_limits(
    profile: Profile, book: PriceBook, limit: PlatformLimits, objective: str, data: st.DataObject
) -> None:
    """Of what a call really takes: the codes of all shares that it needs, whole, and regions of what is not encoded."""
    codings = data.draw(encoded(profile))
    try:
        found = plan(profile, book, limit, objective=objective, slo_ms=None, codings=codings)
    except InfeasibleError:
        return
    valid(found, profile, book, limit, codings)
    if limit.payload_bytes is None:
        return
    most = limit.payload_bytes * (1 + SLACK)
    made = made_bytes(found, profile, {name: codings[name] for name in found.codecs})
    for call in found.calls:
        entering = 0.0
        for source in (source for item in call.inputs for source in item.sources):
            region = None if source.tensor in found.codecs else source.region
            part_of = 1.0 if region is None else (region.stop - region.start) / (region.size or 1)
            entering += made[source.producer, source.tensor] * part_of
        assert entering * limit.payload_factor <= most
        assert sum(made[call.id, name] for name in call.outputs) * limit.payload_factor <= most


def made_bytes(found: Plan, profile: Profile, codings: Codings) -> Mapping[tuple[str, str], float]:
    """Most bytes of what each call makes, and of the request's inputs, as they are sent."""
    tensors, graphs = {tensor.name: tensor for tensor in profile.tensors}, {graph.id: graph for graph in found.graphs}
    sizes = {name: tensor.bytes * codings.get(name, RAW).bound_ratio for name, tensor in tensors.items()}
    bytes_of = {("request", tensor.name): sizes[tensor.name] for tensor in profile.tensors if tensor.producer < 0}
    for call in found.calls:
        part = graphs[call.graph].part
        for share in part.outputs if part else map(Share, call.outputs):
            length = 1.0 if share.axis is None else (share.stop - share.start) / tensors[share.tensor].shape[share.axis]
            bytes_of[call.id, share.tensor] = sizes[share.tensor] * length
    return bytes_of


def test_figures_of_parts_that_read_and_make_codes() -> None:
    """Of 1 MiB each part encodes the half that it makes. Then each reads a half, and takes and decodes all codes."""
    wire = replace(FREE, hop_ms=1.0, hop_ms_per_mib=40.0, shares_host=False)
    profile = in_halves(3)
    first, second = profile.shards
    parts = tuple(replace(one, part=replace(one.part, inputs=other.part.outputs)) for one, other in
                  zip(second.parts, first.parts, strict=True))  # fmt: skip
    profile = replace(profile, shards=(first, replace(second, parts=parts)))
    one, two = Size(512, 1.0, 1), Size(512, 1.0, 1, 2)
    shape = chain_shape(profile, [Slice(0, 2, two, profile.shards), Slice(2, 3, one)])
    raw, coded = (evaluate(profile, PAPER, wire, shape, codings) for codings in ({}, {"t0": HALF}))
    made_ms, read_ms = 40.0 * (0.5 - 0.25) - 0.4 * 0.5, 40.0 * (0.5 - 0.5) - 0.3
    assert raw.latency_ms - coded.latency_ms == pytest.approx(made_ms + read_ms)
    for before, after in list(zip(raw.functions, coded.functions, strict=True))[:2]:
        assert after.memory_mib - before.memory_mib == pytest.approx(0.5 + 1.0)


def test_a_part_holds_the_library_of_its_codecs_once() -> None:
    """Beside what its steps need, whichever of them it is for."""
    profile, wire = in_halves(4), replace(FREE, hop_ms=1.0, hop_ms_per_mib=1.0, shares_host=False)
    large = replace(HALF, library_mib=30.0)
    for codings in ({"t0": large}, {"t0": HALF, "t1": large}, {"t0": large, "t1": large}):
        problem = free_problem(make_question(profile, PAPER, wire, codings=codings), range(5))
        (group,) = problem.groups
        piece = Slice(0, 3, Size(1, 1.0, 1, 2), group.path(0, 3))
        sized, without = (
            Everything(profile, PAPER, wire, codings=one).sized(piece)
            for one in (codings, dict.fromkeys(codings, HALF))
        )
        assert sized is not None
        assert without is not None
        assert group.memory_mib[0, 3] == sized.size.memory_mib
        assert sized.size.memory_mib - without.size.memory_mib == pytest.approx(30.0, abs=3.0)  # with headroom


def test_a_step_whose_shares_a_codec_does_not_encode_is_not_considered() -> None:
    profile, wire = in_halves(4), replace(FREE, shares_host=False)
    parts = {}
    for name, axes in (("all", None), ("rows", (0,))):
        codings = {tensor.name: replace(HALF, encode_ms_per_mib=0.0, share_axes=axes) for tensor in profile.tensors}
        found = plan(profile, PAPER, wire, objective="latency", policy=STRICT, codings=codings)
        parts[name] = sum(graph.part is not None for graph in found.graphs)
    assert parts["all"] > 0
    assert parts["rows"] == 0


def test_codecs_that_encode_what_parts_make() -> None:
    """Shares along axis 1 of all but the last tensor, and of one of them summands, too."""
    profile = in_halves(4)
    summed = halves(1, 2, "t0", "t1", summand=True)
    profile = replace(profile, shards=(*profile.shards, summed))
    rows = replace(HALF, share_axes=(0,))
    choices = {"t0": (rows, HALF), "t1": (HALF,), "t2": (rows,), "t3": (rows,)}
    assert for_parts(profile, choices) == {"t0": (HALF,), "t3": (rows,)}
    shape = chain_shape(
        profile, [Slice(0, 3, Size(512, 1.0, 1, 2), profile.shards[:3]), Slice(3, 4, Size(512, 1.0, 1))]
    )
    assert encodable(shape.graphs, "t1", HALF)
    assert not encodable(shape.graphs, "t1", rows)
    assert encodable(shape.graphs, "t3", rows)
