"""Hypothesis strategies: small random profiles, price books and limits for the planning tests.

Every layer reads the one before it, so that slices follow each other (the search does not add up parallel slices); in
addition there are skip tensors, shared weights and positions that cannot be cut.
"""

from dataclasses import replace
from itertools import pairwise

from hypothesis import strategies as st

from mopar.types import (
    CpuSize,
    LayerProfile,
    MemorySample,
    Orchestrator,
    PlatformLimits,
    PriceBook,
    Profile,
    RuntimeCosts,
    WeightProfile,
    WholeProfile,
)
from tests.profiles import COUPLED, FREE, MIB, PAPER, make_profile, tensor


@st.composite
def profiles(draw: st.DrawFn, most_layers: int = 5) -> Profile:
    """A random profile of 1 to ``most_layers`` layers; of fewer where times with two threads are known."""
    both = draw(st.sampled_from([False, False, True]))
    count = draw(st.integers(1, most_layers - both))
    size = st.integers(0, 4 * MIB // 4).map(lambda words: 4 * words)
    tensors = [tensor("x", draw(size), -1, draw(_readers(-1, count)))]
    tensors += [tensor(f"t{index}", draw(size), index, draw(_readers(index, count))) for index in range(count)]
    if draw(st.booleans()):
        tensors.append(tensor("y", draw(size), -1, draw(st.sampled_from([(count,), (0,), (count - 1, count)]))))
    big = st.integers(0, 60 * MIB)
    weights = tuple(
        WeightProfile(f"w{number}", draw(big), draw(big), draw(big)) for number in range(draw(st.integers(1, count)))
    )
    names = [weight.name for weight in weights]
    layers = []
    for index in range(count):
        mine = tuple(draw(st.lists(st.sampled_from(names), max_size=2, unique=True)))
        live = sum(t.bytes for t in tensors if t.producer <= index <= max(t.consumers, default=-1))
        layers.append(
            LayerProfile(
                index=index,
                nodes=(f"n{index}",),
                operators=("Gemm",),
                weights=mine,
                latency_ms=draw(st.floats(0.0, 20.0)),
                spread_ms=0.0,
                weight_bytes=sum(weight.bytes for weight in weights if weight.name in mine),
                activation_bytes=live + draw(st.integers(0, MIB)),
                workspace_bytes=draw(st.sampled_from([0, MIB])),
                two_threads=draw(st.floats(0.5, 1.2)) if both else None,
            )
        )
    cuts = tuple(index for index in range(1, count) if draw(st.integers(0, 4)))
    total_ms = sum(layer.latency_ms for layer in layers)
    return make_profile(
        tuple(layers),
        tuple(tensors),
        weights,
        cuts,
        overhead_ms=draw(st.sampled_from([0.0, 0.3])),
        whole=WholeProfile(total_ms * draw(st.floats(0.8, 1.2)) + 0.5, 0.0, draw(st.floats(40, 500)), 250.0, 0.5),
        runtime=draw(costs_of_runtime()),
        samples=draw(_samples(count)),
    )


@st.composite
def costs_of_runtime(draw: st.DrawFn) -> RuntimeCosts:
    hop_ms = draw(st.floats(0, 0.5))
    return RuntimeCosts(
        45.0,
        hop_ms,
        hop_ms * draw(st.floats(0, 1)),
        draw(st.floats(0, 1.0)),
        120.0,
        cold_call_ms=draw(st.floats(0, 0.5)),
        cold_ms=draw(st.floats(0, 1.0)),
        wake_ms=draw(st.floats(0, 1.0)),
    )


@st.composite
def _samples(draw: st.DrawFn, count: int) -> tuple[MemorySample, ...]:
    """Slices with measured memory, one after the other; none in half of the profiles."""
    if count == 1 or draw(st.booleans()):
        return ()
    edges = [0, draw(st.integers(1, count - 1)), count]
    return tuple(MemorySample(start, stop, draw(st.floats(30, 300))) for start, stop in pairwise(edges))


def _readers(producer: int, count: int) -> st.SearchStrategy[tuple[int, ...]]:
    """The next layer always, later layers and the response sometimes."""
    later = st.lists(st.integers(producer + 2, max(count, producer + 2)), max_size=2, unique=True)
    return later.map(lambda more: tuple(sorted({producer + 1, *(index for index in more if index <= count)})))


# At prices like those of the calls. A state so large has one threshold for any number of tensors.
ORCHESTRATORS = (
    Orchestrator("gateway"),
    Orchestrator("step-functions", 1e-8, 1.7e-5, 64, 10.0, state_bytes=1 << 24),
    Orchestrator("entry", 2e-9, 1.7e-5, 48, 1.0),
)


@st.composite
def books(draw: st.DrawFn) -> PriceBook:
    """Decoupled and coupled books, with and without rounding, fees, minimum sizes, and a price of what runs a plan."""
    coupled = draw(st.booleans())
    choice = st.sampled_from([(), (CpuSize(0.25, 1, 128), CpuSize(1.0, 64, 512), CpuSize(2.0, 128, 1024))])
    return replace(
        COUPLED if coupled else PAPER,
        billing_unit_ms=draw(st.sampled_from([0.0, 1.0, 10.0])),
        billing_min_ms=draw(st.sampled_from([0.0, 0.0, 8.0])),
        request_usd=draw(st.sampled_from([0.0, 2e-7])),
        vcpu_s_usd=draw(st.sampled_from([0.0, 2.4e-5])),
        memory_step_mib=draw(st.sampled_from([64, 96] if coupled else [1, 64])),
        memory_max_mib=draw(st.sampled_from([1024, 1024, 320])),
        cpu_sizes=() if coupled else draw(choice),
        orchestrator=draw(st.sampled_from([None, None, *ORCHESTRATORS])),
    )


@st.composite
def limits(draw: st.DrawFn) -> PlatformLimits:
    """Limits that sometimes bind."""
    own_hop = draw(st.booleans())
    return replace(
        FREE,
        max_functions=draw(st.sampled_from([None, None, 1, 2, 3])),
        payload_bytes=draw(st.sampled_from([None, None, 6 * MIB, 3 * MIB])),
        payload_factor=draw(st.sampled_from([1.0, 4 / 3])),
        package_bytes=draw(st.sampled_from([None, None, 120 * MIB])),
        package_base_bytes=draw(st.sampled_from([0, 20 * MIB])),
        shares_host=not own_hop,
        hop_ms=3.0 if own_hop else 0.0,
        hop_ms_per_mib=2.0 if own_hop else 0.0,
        hop_billed_share=draw(st.sampled_from([0.0, 0.5])),
        wire_billed_share=draw(st.sampled_from([0.5, 1.0])),
        start_ms=draw(st.sampled_from([None, 40.0])),
        start_wait_ms=draw(st.sampled_from([0.0, 20.0])),
        start_read_share=draw(st.sampled_from([0.0, 0.5])),
        max_start_ms=draw(st.sampled_from([None, None, 130.0, 220.0])),
    )
