"""The first stage: a model's profile, measured on this machine or predicted."""

from collections.abc import Mapping
from pathlib import Path

from mopar.capture import stated_shapes
from mopar.costmodel.predict import predict_profile
from mopar.gateway.arrays import Array
from mopar.graph import Model, check_loadable, load_model
from mopar.measurement.call_costs import runtime_costs
from mopar.measurement.model_memory import function_memory
from mopar.pipeline.calibration.scale import resources_here
from mopar.profiling import UNKNOWN_MEMORY, Progress, RunBudget, completed, load_inputs, profile_engine, profile_request
from mopar.profiling.cache import keep_profile, kept_profile, key_of
from mopar.shapes import ShapeLike, parse_shapes
from mopar.types import PACKED_OPTIONS, EngineOptions, Profile, RuntimeCosts
from mopar.types.ranges import StatedShape

Shapes = Mapping[str, ShapeLike]
"""Of inputs, by name: sizes, or ranges of sizes."""
_ENGINE_SHARE = 0.3
"""Of the time that a profile takes, about what the engine's part does."""


def measure_model(
    path: Path,
    *,
    inputs: Path | None = None,
    shapes: Shapes | None = None,
    dtypes: Mapping[str, str] | None = None,
    use_cache: bool = True,
    progress: Progress = lambda _stage, _share: None,
) -> tuple[Model, Profile]:
    """Load a model and measure it with workers of this machine.

    Raises:
        ModelError, InputError, EngineError, PlatformError, UsageError.
    """
    progress("reading the model", None)
    model = load_model(path)
    given = load_inputs(inputs) if inputs is not None else None
    profile = profile_model(model, inputs=given, shapes=shapes, dtypes=dtypes, use_cache=use_cache, progress=progress)
    return model, profile


def profile_model(
    model: Model,
    *,
    inputs: Mapping[str, Array] | None = None,
    shapes: Shapes | None = None,
    dtypes: Mapping[str, str] | None = None,
    seed: int = 0,
    budget: RunBudget | None = None,
    options: EngineOptions = PACKED_OPTIONS,
    runtime: RuntimeCosts | None = None,
    use_cache: bool = True,
    progress: Progress = lambda _stage, _share: None,
) -> Profile:
    """Measure a model on this machine, or give back what was measured before.

    The engine tells of layers and tensors; with that the model is cut into functions, whose memory is measured.

    Args:
        model: in canonical form.
        inputs: values of some or all inputs; the others are made.
        shapes: see ``profile_request``; by default what is known from where the model came.
        dtypes: what the caller expects of the inputs; checked.
        seed: of the inputs that are made.
        budget: how many runs.
        options: how the engine runs the packed file; those of the bundle that is to be built.
        runtime: what every function pays on this machine, where it is known already.
        use_cache: whether an earlier profile of the same model, request, options and machine will do, and earlier
            figures of the machine.
        progress: called with each stage, and the share of all that is done.

    Raises:
        ModelError, InputError, EngineError, PlatformError.
        ProfileError: a tensor that a plan could move was not made by the measured run.
    """
    check_loadable(model)
    stated = stated_of(model, shapes, inputs)
    request = profile_request(model, inputs=inputs, shapes=stated, dtypes=dtypes, seed=seed)
    budget = budget or RunBudget()
    key = key_of(model, request, budget, options)
    if use_cache and (found := kept_profile(key)) is not None:
        progress("measured before", 1.0)
        return found

    def functions(line: str, share: float) -> None:
        progress(line, _ENGINE_SHARE + (1 - _ENGINE_SHARE) * share)

    engine = profile_engine(model, request, budget=budget, options=options, progress=progress)
    runtime = runtime or runtime_costs(use_cache=use_cache, progress=lambda line: progress(line, None))
    progress("measuring memory", _ENGINE_SHARE)
    by_time = completed(engine, runtime, UNKNOWN_MEMORY)
    memory = function_memory(model, by_time, request.resized(model, request.sizes.largest), functions)
    profile = completed(engine, runtime, memory)
    keep_profile(key, profile)
    progress("done", 1.0)
    return profile


def predict_model(
    path: Path,
    *,
    inputs: Path | None = None,
    shapes: Shapes | None = None,
    dtypes: Mapping[str, str] | None = None,
    progress: Progress = lambda _stage, _share: None,
) -> tuple[Model, Profile]:
    """Load a model and predict its profile without running it; its weights are read to be hashed alone.

    Raises:
        ModelError, InputError, EngineError, PlatformError, ProfileError.
    """
    progress("reading the model", None)
    model = load_model(path)
    resources = resources_here(progress)
    given = load_inputs(inputs) if inputs is not None else None
    stated = stated_of(model, shapes, given)
    return model, predict_profile(model, resources, inputs=given, shapes=stated, dtypes=dtypes, progress=progress)


def stated_of(model: Model, shapes: Shapes | None, given: Mapping[str, Array] | None) -> dict[str, StatedShape]:
    """What is stated of inputs' sizes: as given here, else when the model was loaded, else when it was imported."""
    known = {**model.stated, **parse_shapes(shapes)}
    return stated_shapes(model, known, {name: value.shape for name, value in (given or {}).items()})
