"""Measured layers of the reference models, shared by other benchmarks."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from mopar.graph import Layer, Model, layers_of, load_model
from mopar.profiling import Array, RunBudget, sample_inputs
from mopar.profiling.engine_runs import scratch_directory
from mopar.profiling.entries import layer_profiles, weights_of
from mopar.profiling.layer_times import LayerTimes
from mopar.profiling.measure import Measurement, measure
from mopar.profiling.patterns import patterns_of
from mopar.profiling.patterns_operators import leading_operators
from mopar.types import LayerProfile, Patterns, Profile, WeightProfile
from tests.models import materialise
from tests.models import sample_inputs as reference_inputs


@dataclass(frozen=True, slots=True)
class MeasuredLayers:
    """A model's layers, and the measurements of a run; ``directory`` holds the packed file that ran."""

    model: Model
    layers: tuple[Layer, ...]
    inputs: Mapping[str, Array]
    measured: Measurement
    profiles: tuple[LayerProfile, ...]
    weights: tuple[WeightProfile, ...]
    operators: tuple[str, ...]
    patterns: Patterns
    directory: Path


@contextmanager
def measured_layers(name: str, budget: RunBudget) -> Iterator[MeasuredLayers]:
    """Measure a reference model; its files are removed afterwards."""
    model = load_model(materialise(name))
    layers = layers_of(model)
    inputs, _ = sample_inputs(model.inputs, given=reference_inputs(name))
    with scratch_directory() as directory:
        measured = measure(model, layers, inputs, directory, budget=budget)
        profiles = layer_profiles(model, layers, measured)
        weights = weights_of(model, measured)
        operators = leading_operators(model, layers, {name: point.shape for name, point in measured.points.items()})
        yield MeasuredLayers(
            model=model,
            layers=layers,
            inputs=inputs,
            measured=measured,
            profiles=profiles,
            weights=weights,
            operators=operators,
            patterns=patterns_of(profiles, weights, operators),
            directory=directory,
        )


def time_layers(model: Model, inputs: Mapping[str, Array]) -> LayerTimes:
    """Latency of every layer."""
    with scratch_directory() as directory:
        return measure(model, layers_of(model), inputs, directory).times


def retimed(profile: Profile, model: Model, inputs: Mapping[str, Array]) -> Profile:
    """A model's profile with layer times measured again, since the machine's speed may have changed."""
    times = time_layers(model, inputs)
    layers = zip(profile.layers, times.latency_ms, strict=True)
    return replace(
        profile,
        layers=tuple(replace(layer, latency_ms=latency_ms) for layer, latency_ms in layers),
        whole=replace(profile.whole, latency_ms=times.whole_ms, unattributed_ms=times.unattributed_ms),
    )
