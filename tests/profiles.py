"""Small handmade profiles and price books for planning tests, whose plans can be verified on paper."""

from dataclasses import replace

from mopar.planning.policy import SearchPolicy, SolvePolicy
from mopar.types import (
    CutPosition,
    GraphPart,
    LayerProfile,
    Machine,
    MemorySample,
    ModelInfo,
    PartProfile,
    PlatformLimits,
    PriceBook,
    Profile,
    RuntimeCosts,
    ShardStep,
    Share,
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
STRICT = SearchPolicy(solve=SolvePolicy(as_fast=1.0))
"""With it the fastest plan is the fastest, and not the cheapest of those within a hundredth of it."""
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
    """A profile of layers, tensors and weights; the whole run's time is the layers' sum unless given."""
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
    """Equal layers in a row with cut positions everywhere."""
    names = ["x", *(f"t{index}" for index in range(count))]
    tensors = tuple(tensor(name, activation, index - 1, (index,)) for index, name in enumerate(names))
    weights = tuple(WeightProfile(f"w{index}", weight, weight, weight) for index in range(count))
    layers = tuple(
        LayerProfile(index, (f"n{index}",), ("Gemm",), (f"w{index}",), latency_ms, 0.0, weight, 2 * activation)
        for index in range(count)
    )
    return make_profile(layers, tensors, weights, tuple(range(1, count)))


def two_towers(crossing: tuple[int, int, int, int] = (8, 1, 8, 1)) -> Profile:
    """Towers 0-2-4 and 1-3-5, with alternating layers, that are joined in layer 6.

    Args:
        crossing: MiB of the outputs of the first tower's layers, then of the second's, inside and at the end.
    """
    inner_a, end_a, inner_b, end_b = (4 * (size * MIB // 4) for size in crossing)
    sizes = (inner_a, inner_b, inner_a, inner_b, end_a, end_b, MIB)
    tensors = [tensor("x", MIB, -1, (0,)), tensor("z", MIB, -1, (1,))]
    readers = [(2,), (3,), (4,), (5,), (6,), (6,), (7,)]
    tensors += [tensor(f"t{index}", sizes[index], index, readers[index]) for index in range(7)]
    weights = tuple(WeightProfile(f"w{index}", 40 * MIB, 40 * MIB, 40 * MIB) for index in range(7))
    layers = []
    for index in range(7):
        live = sum(t.bytes for t in tensors if t.producer <= index <= max(t.consumers))
        layers.append(
            LayerProfile(index, (f"n{index}",), ("Gemm",), (f"w{index}",), 10.0, 0.0, 40 * MIB, live),
        )
    return make_profile(tuple(layers), tuple(tensors), weights, tuple(range(1, 7)))


def halves(start: int, stop: int, taken: str, made: str, *, summand: bool = False) -> ShardStep:
    """A step of two parts of tensors of a MiB, each with half of the time and of 8 MiB of weights per layer."""
    half = MIB // 8

    def part(index: int) -> PartProfile:
        share = Share(made, summand=True) if summand else Share(made, 1, index * half, (index + 1) * half)
        weights = 4 * MIB * (stop - start)
        return PartProfile(GraphPart(index, 2, (Share(taken),), (share,)), 0.5, weights, weights, 2 * MIB)

    return ShardStep(start, stop, "axis 1", (part(0), part(1)))


def in_halves(count: int) -> Profile:
    """A chain whose layers but the last can be computed in halves."""
    profile = chain(count, latency_ms=20.0)
    names = ["x", *(f"t{index}" for index in range(count))]
    return replace(profile, shards=tuple(halves(at, at + 1, names[at], names[at + 1]) for at in range(count - 1)))
