"""A model measured inside the engine, and all that a profile reads off that."""

from mopar.engine.timing.job import RunBudget
from mopar.graph import Model, layers_of
from mopar.profiling.compose import compose
from mopar.profiling.engine_profile import EngineProfile
from mopar.profiling.engine_runs import scratch_directory
from mopar.profiling.entries import cuts_of
from mopar.profiling.input_sizes import Shapes
from mopar.profiling.measure import measure, measure_size
from mopar.profiling.prepared import Progress
from mopar.profiling.profile_request import ProfileRequest
from mopar.profiling.size_points import SizedRun, run_sizes
from mopar.types import PACKED_OPTIONS, EngineOptions


def profile_engine(
    model: Model,
    request: ProfileRequest,
    *,
    budget: RunBudget | None = None,
    options: EngineOptions = PACKED_OPTIONS,
    progress: Progress = lambda _stage, _fraction: None,
) -> EngineProfile:
    """Measure a model on this machine, inside the engine alone: no function is built or started.

    Args:
        model: in canonical form.
        request: that it is measured with.
        budget: how many runs.
        options: how the engine runs the packed file; those of the bundle that is to be built.
        progress: called with each stage, and the share of all that is done.

    Raises:
        InputError: the model does not answer all sizes that were stated.
        EngineError: ONNX Runtime refuses the model.
        ProfileError: a tensor that a plan could move was not made by the measured run.
    """
    layers = layers_of(model)
    with scratch_directory() as directory:
        measured = measure(
            model,
            layers,
            request.values,
            directory,
            budget=budget,
            options=options,
            two_threads=True,
            progress=progress,
        )

        def at_size(shapes: Shapes) -> SizedRun:
            progress("running at other sizes", 0.26)
            resized = request.resized(model, shapes)
            return SizedRun(shapes, *measure_size(model, measured, resized, directory, options=options))

        return compose(
            model,
            layers,
            measured,
            cuts_of(model, layers, measured),
            recipes=request.recipes,
            ranges=request.sizes.ranges,
            sized=run_sizes(request.sizes, at_size),
        )
