"""Measuring: layer times from inside the engine, tensors, weights, and required memory."""

from mopar.profiling.engine_runs import RunBudget
from mopar.profiling.inputs import Array, load_inputs, resized_inputs, sample_inputs
from mopar.profiling.layer_times import LayerTimes
from mopar.profiling.measure import Progress, time_layers
from mopar.profiling.profile import FunctionProbe, MeasuredMemory, profile_model

__all__ = [
    "Array",
    "FunctionProbe",
    "LayerTimes",
    "MeasuredMemory",
    "Progress",
    "RunBudget",
    "load_inputs",
    "profile_model",
    "resized_inputs",
    "sample_inputs",
    "time_layers",
]
