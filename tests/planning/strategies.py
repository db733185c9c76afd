"""Small random profiles, price books and limits, shared by the planning tests.

Every layer reads the one before it, so that slices follow each other (side-by-side slices are not what the search
adds up); on top of that come skip tensors, shared weights and positions that are no cut positions.
"""

from dataclasses import replace
from itertools import pairwise

from hypothesis import strategies as st

from mopar.types import (
    CpuSize,
    CutPosition,
    LayerProfile,
    Machine,
    MemorySample,
    ModelInfo,
    PlatformLimits,
    PriceBook,
    Profile,
    RuntimeCosts,
    TensorProfile,
    TensorSpec,
    WeightProfile,
    WholeProfile,
)

MIB = 1 << 20

PAPER = PriceBook(
    name="test",
    date="2026-01-01",
    source="a test",
    gib_s_usd=1.66667e-5,
    vcpu_s_usd=0.0,
    request_usd=0.0,
    memory_min_mib=1,
    memory_max_mib=1 << 20,
    memory_step_mib=1,
    billing_unit_ms=0.0,
    mib_per_vcpu=None,
    cpu_per_function=1.0,
    init_billed=False,
    cold_rate=0.0,
)
COUPLED = replace(
    PAPER,
    memory_min_mib=64,
    memory_max_mib=1024,
    memory_step_mib=32,
    request_usd=2e-7,
    billing_unit_ms=1.0,
    mib_per_vcpu=300.0,
    init_billed=True,
    cold_rate=0.01,
)
FREE = PlatformLimits(
    name="test",
    prices="test",
    max_functions=None,
    payload_bytes=None,
    payload_factor=1.0,
    package_bytes=None,
    shares_host=True,
)


def make_profile(
    layers: tuple[LayerProfile, ...],
    tensors: tuple[TensorProfile, ...],
    weights: tuple[WeightProfile, ...],
    cuts: tuple[int, ...],
    *,
    overhead_ms: float = 0.0,
    whole: WholeProfile | None = None,
    runtime: RuntimeCosts | None = None,
    samples: tuple[MemorySample, ...] = (),
) -> Profile:
    """A profile around layers, tensors and weights; the whole's time is the layers' sum unless given."""
    sizes = {tensor.name: tensor for tensor in tensors}
    count = len(layers)

    def cut(index: int) -> CutPosition:
        across = [t for t in tensors if t.producer < index and max(t.consumers, default=-1) >= index]
        return CutPosition(index, tuple(t.name for t in across), sum(t.bytes for t in across), overhead_ms)

    inputs = [t for t in tensors if t.producer == -1]
    outputs = [t for t in tensors if count in t.consumers]
    total_ms = sum(layer.latency_ms for layer in layers)
    return Profile(
        model=ModelInfo("tiny", "00", "11", 17, 0, sum(w.bytes for w in weights)),
        inputs=tuple(TensorSpec(t.name, t.dtype, sizes[t.name].shape) for t in inputs),
        outputs=tuple(TensorSpec(t.name, t.dtype, sizes[t.name].shape) for t in outputs),
        tensors=tensors,
        weights=weights,
        layers=layers,
        cut_positions=tuple(cut(index) for index in cuts),
        whole=whole or WholeProfile(total_ms, 0.0, 400.0, 300.0, 0.0),
        runtime=runtime or RuntimeCosts(45.0, 0.2, 0.1, wire_ms_per_mib=0.1, init_ms=120.0),
        recipes=(),
        machine=Machine("cpu", "kind", 2, 8192, "linux", "3.11", "1.32", "0"),
        samples=samples,
    )


def tensor(name: str, size: int, producer: int, consumers: tuple[int, ...]) -> TensorProfile:
    """A float32 tensor of ``size`` bytes (a multiple of 4)."""
    return TensorProfile(name, "float32", (1, size // 4), size, producer, consumers)


def chain(count: int, *, latency_ms: float = 4.0, weight: int = 8 * MIB, activation: int = MIB) -> Profile:
    """Equal layers in a row, cuttable everywhere."""
    names = ["x", *(f"t{index}" for index in range(count))]
    tensors = tuple(tensor(name, activation, index - 1, (index,)) for index, name in enumerate(names))
    weights = tuple(WeightProfile(f"w{index}", weight, weight, weight) for index in range(count))
    layers = tuple(
        LayerProfile(index, (f"n{index}",), ("Gemm",), (f"w{index}",), latency_ms, 0.0, weight, 2 * activation)
        for index in range(count)
    )
    return make_profile(layers, tensors, weights, tuple(range(1, count)))


@st.composite
def profiles(draw: st.DrawFn, most_layers: int = 5) -> Profile:
    """A random profile of 1 to ``most_layers`` layers; of fewer where it is known what two threads take."""
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
    """Slices whose memory was measured, one after the other; none in half of the profiles."""
    if count == 1 or draw(st.booleans()):
        return ()
    edges = [0, draw(st.integers(1, count - 1)), count]
    return tuple(MemorySample(start, stop, draw(st.floats(30, 300))) for start, stop in pairwise(edges))


def _readers(producer: int, count: int) -> st.SearchStrategy[tuple[int, ...]]:
    """The next layer always, later ones and the response sometimes."""
    later = st.lists(st.integers(producer + 2, max(count, producer + 2)), max_size=2, unique=True)
    return later.map(lambda more: tuple(sorted({producer + 1, *(index for index in more if index <= count)})))


@st.composite
def books(draw: st.DrawFn) -> PriceBook:
    """Decoupled and coupled books, with and without rounding, fees and minimum sizes."""
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
    )


@st.composite
def limits(draw: st.DrawFn) -> PlatformLimits:
    """Limits that bind now and then."""
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
    )
