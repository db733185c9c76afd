"""A model's profile, assembled from what was measured of it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from mopar.graph import Model, layers_of
from mopar.machine import machine_facts
from mopar.profiling.assemble import assemble
from mopar.profiling.cache import cached_profile, keep_profile, profile_key
from mopar.profiling.engine_runs import RunBudget, scratch_directory
from mopar.profiling.inputs import Array, sample_inputs
from mopar.profiling.measure import Progress, measure
from mopar.profiling.parts import cuts_of
from mopar.types import PACKED_OPTIONS, EngineOptions, MemorySample, Profile, RuntimeCosts, WholeProfile
from mopar.types.profile import PROFILE_SCHEMA


@dataclass(frozen=True, slots=True)
class MeasuredMemory:
    """What functions of a model were found to need.

    Attributes:
        whole_mib: required memory of the whole model as one function.
        init_ms: of that function, from exec to ready.
        samples: slices that were measured, one after the other; none where the model has too few layers.
    """

    whole_mib: float
    init_ms: float
    samples: tuple[MemorySample, ...]


class FunctionProbe(Protocol):
    """What only a worker under real limits can tell."""

    def memory(self, model: Model, profile: Profile, inputs: Mapping[str, Array]) -> MeasuredMemory:
        """Required memory of the whole model as one function, and of a few slices.

        Args:
            model: in canonical form.
            profile: complete but for what is asked for here.
            inputs: a request.
        """

    def runtime(self) -> RuntimeCosts:
        """What every function pays on this machine."""


def profile_model(
    model: Model,
    probe: FunctionProbe,
    *,
    inputs: Mapping[str, Array] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    dtypes: Mapping[str, str] | None = None,
    seed: int = 0,
    budget: RunBudget | None = None,
    options: EngineOptions = PACKED_OPTIONS,
    use_cache: bool = True,
    progress: Progress = lambda _stage, _fraction: None,
) -> Profile:
    """Measure a model on this machine, or give back what was measured before.

    Args:
        model: in canonical form.
        probe: measures memory and start-up.
        inputs: values of some or all inputs; the others are made.
        shapes: the point to measure, for inputs that are made.
        dtypes: what the caller expects of the inputs; checked.
        seed: of the inputs that are made.
        budget: how many runs.
        options: how the engine runs the packed file; those of the bundle that is to be built.
        use_cache: whether an earlier profile of the same model, options and machine will do.
        progress: told what goes on.

    Raises:
        InputError: the inputs do not fit.
        EngineError: ONNX Runtime refuses the model.
        ProfileError: a tensor that a plan could move was not made by the measured run.
    """
    values, recipes = sample_inputs(model.inputs, shapes=shapes, dtypes=dtypes, seed=seed, given=inputs)
    budget = budget or RunBudget()
    machine = machine_facts()
    identity = (model.name, model.sha256, model.graph_sha256)
    key = profile_key([PROFILE_SCHEMA, *identity, recipes, _digest(inputs or {}), budget, options, machine])
    if use_cache and (found := cached_profile(key)) is not None:
        progress("measured before", 1.0)
        return found
    layers = layers_of(model)
    with scratch_directory() as directory:
        measured = measure(
            model, layers, values, directory, budget=budget, options=options, two_threads=True, progress=progress
        )
        times = measured.times
        profile = assemble(
            model,
            layers,
            measured,
            measured.two_threads,
            cuts_of(model, layers, measured),
            whole=WholeProfile(times.whole_ms, times.whole_spread_ms, 0.0, 0.0, times.unattributed_ms),
            runtime=probe.runtime(),
            recipes=recipes,
            machine=machine,
        )
    progress("measuring memory", 0.5)
    memory = probe.memory(model, profile, values)
    whole = replace(profile.whole, memory_mib=memory.whole_mib, init_ms=memory.init_ms)
    profile = replace(profile, whole=whole, samples=memory.samples)
    keep_profile(key, profile)
    progress("done", 1.0)
    return profile


def _digest(values: Mapping[str, Array]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(values.items()):
        digest.update(f"{name} {value.dtype} {value.shape} ".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()
