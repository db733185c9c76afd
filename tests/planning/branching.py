"""Small random profiles with parallel branches, and every order that they can run in."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice, pairwise, product

from hypothesis import assume
from hypothesis import strategies as st

from mopar.planning import PlanShape, Slice, chain_shape, evaluate, reordered
from mopar.planning.boundary import last_use
from mopar.types import (
    REQUEST,
    LayerProfile,
    MemorySample,
    PlatformLimits,
    PriceBook,
    Profile,
    RuntimeCosts,
    Source,
    TensorProfile,
    WeightProfile,
    WholeProfile,
)
from tests.planning.oracle import keeps, sizes_of
from tests.planning.strategies import costs_of_runtime
from tests.profiles import MIB, make_profile, tensor

_MOST_PLANS = 2_000


def block(first: int, lengths: list[int]) -> list[tuple[int, ...]]:
    """For each layer, those it reads: one, chains that all read it, and a layer that reads the ends of the chains."""
    needs: list[tuple[int, ...]] = [()]
    ends = []
    for length in lengths:
        for position in range(length):
            needs.append((first if position == 0 else len(needs) - 1,))
        ends.append(len(needs) - 1)
    return [*needs, tuple(ends)]


def random_layers(rng: random.Random, needs: list[tuple[int, ...]]) -> Profile:
    """Random times, weights and tensors for layers that read so; about 150 ms and 200 MiB."""
    count = len(needs)
    readers = [[reader for reader, need in enumerate(needs) if index in need] or [count] for index in range(count)]
    sizes = [4 * rng.randint(1, MIB) for _ in range(count)]
    tensors = [tensor("x", 602112, -1, tuple(index for index, need in enumerate(needs) if not need))]
    tensors += [tensor(f"t{index}", sizes[index], index, tuple(readers[index])) for index in range(count)]
    weights, layers = [], []
    for index in range(count):
        size = rng.choice([0, 1, 4, 20]) * rng.randint(1, 4) * MIB
        weights.append(WeightProfile(f"w{index}", size, size, size))
        live = sum(t.bytes for t in tensors if t.producer <= index <= max(t.consumers))
        layers.append(
            LayerProfile(index, (f"n{index}",), ("Conv",), (f"w{index}",), rng.uniform(0.5, 15.0), 0.0, size, live)
        )
    whole_ms = sum(layer.latency_ms for layer in layers)
    whole_mib = 30 + sum(weight.bytes for weight in weights) / MIB
    return make_profile(
        tuple(layers),
        tuple(tensors),
        tuple(weights),
        tuple(range(1, count)),
        whole=WholeProfile(whole_ms, 0.0, whole_mib, 300.0, 0.0),
        runtime=RuntimeCosts(20.0, 0.3, 0.15, 0.1, 40.0),
    )


@st.composite
def branching(draw: st.DrawFn, most_layers: int = 6) -> Profile:
    """A random graph of layers: each reads some earlier tensors or the request; some tensors are answers.

    Tensors are small or large and their transport is slow at times, so that it matters what crosses a cut.
    """
    count = draw(st.integers(2, most_layers))
    size = st.sampled_from([0, 4, MIB, 8 * MIB, 24 * MIB])
    readers: list[set[int]] = [set() for _ in range(count + 1)]
    for index in range(count):
        for source in draw(st.lists(st.integers(-1, index - 1), min_size=1, max_size=2, unique=True)):
            readers[source + 1].add(index)
    for index in range(count):
        if not readers[index + 1] or not draw(st.integers(0, 6)):
            readers[index + 1].add(count)
    tensors = [
        tensor(f"t{index}", draw(size), index, tuple(sorted(reads))) for index, reads in enumerate(readers, start=-1)
    ]
    layers, weights = _layers(draw, tensors, count)
    cuts = tuple(index for index in range(1, count) if draw(st.integers(0, 5)))
    total_ms = sum(layer.latency_ms for layer in layers)
    edges = [0, draw(st.integers(1, count - 1)), count]
    samples = tuple(MemorySample(start, stop, draw(st.floats(30, 300))) for start, stop in pairwise(edges))
    return make_profile(
        layers,
        tuple(tensors),
        weights,
        cuts,
        overhead_ms=draw(st.sampled_from([0.0, 0.3])),
        whole=WholeProfile(total_ms * draw(st.floats(0.8, 1.2)) + 0.5, 0.0, draw(st.floats(40, 500)), 250.0, 0.5),
        runtime=replace(draw(costs_of_runtime()), wire_ms_per_mib=draw(st.sampled_from([0.0, 0.1, 2.0]))),
        samples=samples if draw(st.booleans()) else (),
    )


def _layers(
    draw: st.DrawFn, tensors: Sequence[TensorProfile], count: int
) -> tuple[tuple[LayerProfile, ...], tuple[WeightProfile, ...]]:
    big = st.integers(0, 60 * MIB)
    weights = tuple(WeightProfile(f"w{n}", draw(big), draw(big), draw(big)) for n in range(count))
    layers = []
    for index in range(count):
        mine = tuple({f"w{index}", f"w{draw(st.integers(0, index))}"})
        live = sum(t.bytes for t in tensors if t.producer <= index <= max(t.consumers, default=-1))
        # A layer may write its result over what it reads, where that dies and no request brought it.
        saved = min([t.bytes for t in tensors if t.producer >= 0 and last_use(t) == index], default=0)
        layers.append(
            LayerProfile(
                index=index,
                nodes=(f"n{index}",),
                operators=("Gemm",),
                weights=mine,
                latency_ms=draw(st.floats(0.0, 20.0)),
                spread_ms=0.0,
                weight_bytes=sum(weight.bytes for weight in weights if weight.name in mine),
                activation_bytes=live - saved * draw(st.integers(0, 1)),
                workspace_bytes=draw(st.sampled_from([0, MIB])),
            )
        )
    return tuple(layers), weights


def orders_of(profile: Profile) -> Iterator[tuple[int, ...]]:
    """Every order of the layers in which each stands after those it reads from; runs between cuts stay together."""
    count = len(profile.layers)
    edges = [0, *(cut.index for cut in profile.cut_positions), count]
    runs = [range(start, stop) for start, stop in pairwise(edges)]
    needs = [
        {t.producer for t in profile.tensors for reader in t.consumers if reader in run and t.producer >= 0} - set(run)
        for run in runs
    ]

    def extended(order: tuple[int, ...], left: frozenset[int]) -> Iterator[tuple[int, ...]]:
        if not left:
            yield order
        for number in sorted(left):
            if needs[number] <= set(order):
                yield from extended((*order, *runs[number]), left - {number})

    return extended((), frozenset(range(len(runs))))


@dataclass(frozen=True)
class Candidate:
    """A plan that keeps all limits but the SLO.

    Attributes:
        order: of the layers.
        cuts: counted in it.
        usd: of a million requests.
        chained_ms: of a request, were each function to wait for the one before.
    """

    order: tuple[int, ...]
    cuts: tuple[int, ...]
    usd: float
    chained_ms: float


def everything(profile: Profile, book: PriceBook, limits: PlatformLimits) -> Iterator[Candidate]:
    """Every plan within the limits, over all orders, cuts and sizes.

    Inside a function layers stand in canonical order, whatever order made its boundaries.
    """
    seen = set()
    count = len(profile.layers)
    for order in orders_of(profile):
        positions = [cut.index for cut in reordered(profile, order).cut_positions]
        for number in range(min(len(positions), (limits.max_functions or count) - 1) + 1):
            for cuts in combinations(positions, number):
                spans = list(pairwise((0, *cuts, count)))
                inside = tuple(layer for start, stop in spans for layer in sorted(order[start:stop]))
                if (inside, cuts) in seen:
                    continue
                seen.add((inside, cuts))
                yield from _sized(reordered(profile, inside), book, limits, inside, spans)


def all_plans(profile: Profile, book: PriceBook, limits: PlatformLimits) -> list[Candidate]:
    """As ``everything``; an example of so many plans that counting them would take minutes is given back."""
    found = list(islice(everything(profile, book, limits), _MOST_PLANS + 1))
    assume(len(found) <= _MOST_PLANS)
    return found


def _sized(
    moved: Profile, book: PriceBook, limits: PlatformLimits, order: tuple[int, ...], spans: list[tuple[int, int]]
) -> Iterator[Candidate]:
    for chosen in product(*(sizes_of(moved, book, span) for span in spans)):
        pieces = [Slice(*span, size) for span, size in zip(spans, chosen, strict=True)]
        shape = chain_shape(moved, pieces)
        if keeps(moved, limits, shape):
            usd = evaluate(moved, book, limits, shape).cost_per_million_usd
            yield Candidate(order, tuple(start for start, _ in spans[1:]), usd, chained_ms(moved, book, limits, shape))


def chained_ms(profile: Profile, book: PriceBook, limits: PlatformLimits, shape: PlanShape) -> float:
    """The sum of the calls' times: the latency that the search counts."""
    total_ms = 0.0
    for function, graph, call in zip(shape.functions, shape.graphs, shape.calls, strict=True):
        alone = replace(
            call, inputs=tuple(replace(item, sources=(Source(REQUEST, item.tensor),)) for item in call.inputs)
        )
        total_ms += evaluate(profile, book, limits, PlanShape((function,), (graph,), (alone,), ())).latency_ms
    return total_ms
