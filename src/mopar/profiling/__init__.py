"""Measuring a model inside the engine: layer times, tensors, weights, patterns."""

from mopar.engine.timing.job import RunBudget
from mopar.profiling.engine_profile import UNKNOWN_MEMORY, EngineProfile, FunctionMemory, completed
from mopar.profiling.input_file import load_inputs
from mopar.profiling.inputs import Array, resized_inputs, sample_inputs
from mopar.profiling.prepared import Progress
from mopar.profiling.profile import profile_engine
from mopar.profiling.profile_request import ProfileRequest, profile_request

__all__ = [
    "UNKNOWN_MEMORY",
    "Array",
    "EngineProfile",
    "FunctionMemory",
    "ProfileRequest",
    "Progress",
    "RunBudget",
    "completed",
    "load_inputs",
    "profile_engine",
    "profile_request",
    "resized_inputs",
    "sample_inputs",
]
