"""A model's profile, assembled from what was measured of it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from mopar.graph import Model, layers_of
from mopar.machine import machine_facts
from mopar.profiling.assemble import assemble
from mopar.profiling.cache import cached_profile, keep_profile, profile_key
from mopar.profiling.engine_runs import RunBudget, scratch_directory
from mopar.profiling.entries import cuts_of
from mopar.profiling.inputs import Array, resized_inputs, sample_inputs
from mopar.profiling.load import busy_now, is_busy
from mopar.profiling.measure import Progress, measure, measure_size
from mopar.profiling.size_points import SizedRun, run_sizes, with_memory
from mopar.profiling.sizes import InputSizes, Shapes, stated_sizes
from mopar.shapes import ShapeLike, parse_shapes
from mopar.types import PACKED_OPTIONS, EngineOptions, InputRecipe, MemorySample, Profile, RuntimeCosts, WholeProfile
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
            inputs: a request of the largest sizes.
        """

    def runtime(self) -> RuntimeCosts:
        """What every function pays on this machine."""


def profile_model(
    model: Model,
    probe: FunctionProbe,
    *,
    inputs: Mapping[str, Array] | None = None,
    shapes: Mapping[str, ShapeLike] | None = None,
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
        shapes: the point to measure, or the range that must be answered, as ``mopar.shapes.parse_shape`` takes them;
            of inputs with values the range alone counts.
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
    sizes = stated_sizes(model.inputs, parse_shapes(shapes), inputs or {})
    values, recipes = sample_inputs(model.inputs, shapes=sizes.point, dtypes=dtypes, seed=seed, given=inputs)
    budget = budget or RunBudget()
    identity = (model.name, model.sha256, model.graph_sha256)
    asked = (recipes, sizes.ranges, _digest(inputs or {}))
    key = profile_key([PROFILE_SCHEMA, *identity, *asked, budget, options, machine_facts()])
    if use_cache and (found := _kept(key, progress)) is not None:
        return found
    profile = _timed(model, sizes, values, recipes, options, budget, probe, progress)
    progress("measuring memory", 0.3)
    memory = probe.memory(model, profile, resized_inputs(model.inputs, values, recipes, sizes.largest))
    whole = replace(profile.whole, memory_mib=memory.whole_mib, init_ms=memory.init_ms)
    profile = with_memory(replace(profile, whole=whole, samples=memory.samples))
    keep_profile(key, profile)
    progress("done", 1.0)
    return profile


def _timed(
    model: Model,
    sizes: InputSizes,
    values: Mapping[str, Array],
    recipes: Sequence[InputRecipe],
    options: EngineOptions,
    budget: RunBudget,
    probe: FunctionProbe,
    progress: Progress,
) -> Profile:
    """The profile without required memory."""
    layers = layers_of(model)
    with scratch_directory() as directory:
        measured = measure(
            model, layers, values, directory, budget=budget, options=options, two_threads=True, progress=progress
        )

        def at_size(shapes: Shapes) -> SizedRun:
            progress("running at other sizes", 0.26)
            resized = resized_inputs(model.inputs, values, recipes, shapes)
            return SizedRun(shapes, *measure_size(model, measured, resized, directory, options=options))

        times = measured.times
        return assemble(
            model,
            layers,
            measured,
            measured.two_threads,
            cuts_of(model, layers, measured),
            sized=run_sizes(sizes, at_size),
            whole=WholeProfile(times.whole_ms, times.whole_spread_ms, 0.0, 0.0, times.unattributed_ms),
            runtime=probe.runtime(),
            recipes=tuple(recipes),
            machine=machine_facts(),
            ranges=sizes.ranges,
            load=measured.load,
        )


def _kept(key: str, progress: Progress) -> Profile | None:
    """What was measured before; nothing where the machine was busy then and is not any more."""
    found = cached_profile(key)
    if found is None or (is_busy(found.load) and not busy_now()):
        return None
    progress("measured before", 1.0)
    return found


def _digest(values: Mapping[str, Array]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(values.items()):
        digest.update(f"{name} {value.dtype} {value.shape} ".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()
