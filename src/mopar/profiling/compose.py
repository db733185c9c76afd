"""An engine profile composed of its parts, whether they were measured or predicted."""

from collections.abc import Sequence

from mopar.engine.packed import StoredWeight
from mopar.graph import Layer, Model
from mopar.machine import machine_facts
from mopar.profiling.engine_profile import EngineProfile, EngineTimes
from mopar.profiling.entries import layer_profiles, model_info, tensors_of, weights_of
from mopar.profiling.measure import Measurement
from mopar.profiling.patterns import patterns_of
from mopar.profiling.patterns_operators import leading_operators
from mopar.profiling.shards import shard_steps
from mopar.profiling.size_points import SizedRuns, size_point
from mopar.types import CutPosition, InputRange, InputRecipe

_AT_THE_POINT = SizedRuns()


def compose(
    model: Model,
    layers: tuple[Layer, ...],
    measured: Measurement,
    cuts: tuple[CutPosition, ...],
    *,
    recipes: tuple[InputRecipe, ...],
    ranges: tuple[InputRange, ...],
    stored: Sequence[StoredWeight] | None = None,
    sized: SizedRuns = _AT_THE_POINT,
    source: str = "measured",
    assumed: tuple[str, ...] = (),
) -> EngineProfile:
    """What the engine tells of a model.

    Args:
        model: in canonical form.
        layers: of the model.
        measured: its run.
        cuts: where it can be cut.
        recipes: how the request of the run was made.
        ranges: the sizes of each input that must be answered.
        stored: how its weights are stored; by default as the packed file of the run has them.
        sized: its runs at other sizes.
        source: ``measured`` or ``predicted``.
        assumed: tensors whose size is a bound.
    """
    weights = weights_of(model, measured, stored)
    timed = layer_profiles(model, layers, measured, measured.two_threads)
    shapes = {name: point.shape for name, point in measured.points.items()}
    largest = measured if sized.largest is None else sized.largest.measured
    most_bytes = {name: point.bytes for name, point in largest.points.items()}
    tensors = tensors_of(model, layers, cuts, measured)
    names = [tensor.name for tensor in tensors]
    times = measured.times
    return EngineProfile(
        model=model_info(model),
        inputs=model.inputs,
        outputs=model.outputs,
        tensors=tensors,
        weights=weights,
        layers=timed,
        cut_positions=cuts,
        times=EngineTimes(times.whole_ms, times.whole_spread_ms, times.unattributed_ms),
        patterns=patterns_of(timed, weights, leading_operators(model, layers, shapes)),
        shards=shard_steps(model, layers, timed, weights, cuts, most_bytes),
        recipes=recipes,
        ranges=ranges,
        machine=machine_facts(),
        source=source,
        assumed=assumed,
        smallest=size_point(model, layers, names, sized.smallest),
        largest=size_point(model, layers, names, sized.largest),
        beyond=size_point(model, layers, names, sized.beyond),
        load=measured.load,
    )
