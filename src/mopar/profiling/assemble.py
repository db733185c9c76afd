"""A profile put together from its parts, whether they were measured or predicted."""

from collections.abc import Sequence
from typing import Any

from mopar.engine.packed import StoredWeight
from mopar.graph import Layer, Model
from mopar.profiling.entries import layer_profiles, model_info, tensors_of, weights_of
from mopar.profiling.measure import Measurement
from mopar.profiling.patterns import patterns_of
from mopar.profiling.patterns_operators import leading_operators
from mopar.profiling.shards import shard_steps
from mopar.profiling.size_points import SizedRuns, size_point
from mopar.types import CutPosition, Profile

_AT_THE_POINT = SizedRuns()


def assemble(
    model: Model,
    layers: tuple[Layer, ...],
    measured: Measurement,
    two_threads: Sequence[float] | None,
    cuts: tuple[CutPosition, ...],
    *,
    stored: Sequence[StoredWeight] | None = None,
    sized: SizedRuns = _AT_THE_POINT,
    **facts: Any,
) -> Profile:
    """The profile of a model.

    Args:
        model: in canonical form.
        layers: of the model.
        measured: its run.
        two_threads: of each layer, the time with two threads over that with one.
        cuts: where it can be cut.
        stored: how its weights are stored; by default as the packed file of the run has them.
        sized: its runs at other sizes.
        facts: the profile's fields that do not follow from these.
    """
    weights = weights_of(model, measured, stored)
    timed = layer_profiles(model, layers, measured, two_threads)
    shapes = {name: point.shape for name, point in measured.points.items()}
    largest = measured if sized.largest is None else sized.largest.measured
    most_bytes = {name: point.bytes for name, point in largest.points.items()}
    tensors = tensors_of(model, layers, cuts, measured)
    names = [tensor.name for tensor in tensors]
    return Profile(
        model=model_info(model),
        inputs=model.inputs,
        outputs=model.outputs,
        tensors=tensors,
        weights=weights,
        layers=timed,
        cut_positions=cuts,
        patterns=patterns_of(timed, weights, leading_operators(model, layers, shapes)),
        shards=shard_steps(model, layers, timed, weights, cuts, most_bytes),
        smallest=size_point(model, layers, names, sized.smallest),
        largest=size_point(model, layers, names, sized.largest),
        beyond=size_point(model, layers, names, sized.beyond),
        **facts,
    )
