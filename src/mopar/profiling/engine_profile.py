"""The part of a profile that the engine alone shows, and the profile that it becomes with what functions need."""

from dataclasses import dataclass, replace

from mopar.types import (
    CutPosition,
    InputRange,
    InputRecipe,
    LayerProfile,
    Machine,
    MachineLoad,
    MemorySample,
    ModelInfo,
    Patterns,
    Profile,
    RuntimeCosts,
    ShardStep,
    SizePoint,
    TensorProfile,
    TensorSpec,
    WeightProfile,
    WholeProfile,
)

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class EngineTimes:
    """The whole model's: median latency of a run, its interquartile range, and latency that no layer claims."""

    latency_ms: float
    spread_ms: float
    unattributed_ms: float


@dataclass(frozen=True, slots=True)
class EngineProfile:
    """A profile without what only functions under real limits can tell; fields are those of ``Profile``.

    ``times`` are the whole model's. Of ``smallest``, ``largest`` and ``beyond`` the whole's memory is still to come: 0.
    """

    model: ModelInfo
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    tensors: tuple[TensorProfile, ...]
    weights: tuple[WeightProfile, ...]
    layers: tuple[LayerProfile, ...]
    cut_positions: tuple[CutPosition, ...]
    times: EngineTimes
    patterns: Patterns
    shards: tuple[ShardStep, ...]
    recipes: tuple[InputRecipe, ...]
    ranges: tuple[InputRange, ...]
    machine: Machine
    source: str
    assumed: tuple[str, ...]
    smallest: SizePoint | None
    largest: SizePoint | None
    beyond: SizePoint | None
    load: MachineLoad | None


@dataclass(frozen=True, slots=True)
class FunctionMemory:
    """What functions of a model need, at the largest sizes that must be answered.

    Attributes:
        whole_mib: required memory of the whole model as one function.
        init_ms: of that function, from exec to ready.
        samples: required memory of slices; none where the model has too few layers.
    """

    whole_mib: float
    init_ms: float
    samples: tuple[MemorySample, ...]


UNKNOWN_MEMORY = FunctionMemory(0.0, 0.0, ())
"""Before it was measured: cuts can be planned, sizes cannot."""


def completed(engine: EngineProfile, runtime: RuntimeCosts, memory: FunctionMemory) -> Profile:
    """The profile of a model, from the engine's part of it, what calls cost, and what functions need."""
    times = engine.times
    profile = Profile(
        model=engine.model,
        inputs=engine.inputs,
        outputs=engine.outputs,
        tensors=engine.tensors,
        weights=engine.weights,
        layers=engine.layers,
        cut_positions=engine.cut_positions,
        whole=WholeProfile(times.latency_ms, times.spread_ms, memory.whole_mib, memory.init_ms, times.unattributed_ms),
        runtime=runtime,
        recipes=engine.recipes,
        machine=engine.machine,
        samples=memory.samples,
        source=engine.source,
        assumed=engine.assumed,
        patterns=engine.patterns,
        shards=engine.shards,
        ranges=engine.ranges,
        smallest=engine.smallest,
        largest=engine.largest,
        beyond=engine.beyond,
        load=engine.load,
    )
    return _with_memory_by_size(profile)


def _with_memory_by_size(profile: Profile) -> Profile:
    """The profile with the whole model's required memory at each size: that at the largest, by tensors' bytes."""
    known = _most_bytes(profile, profile.largest)

    def filled(size: SizePoint | None) -> SizePoint | None:
        if size is None:
            return None
        memory_mib = profile.whole.memory_mib + (_most_bytes(profile, size) - known) / _MIB
        return replace(size, memory_mib=max(memory_mib, profile.runtime.base_mib))

    return replace(
        profile, smallest=filled(profile.smallest), largest=filled(profile.largest), beyond=filled(profile.beyond)
    )


def _most_bytes(profile: Profile, size: SizePoint | None) -> int:
    """The most that tensors and scratch take at once at a size; None for the measured point."""
    if size is not None:
        return max(size.layer_bytes, default=0)
    return max((layer.activation_bytes + layer.workspace_bytes for layer in profile.layers), default=0)
