"""Profiles of random models: as predicted, as measured, and as if they were large, so that splitting pays."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from unittest.mock import patch

import numpy as np

from mopar.costmodel.predict import predict_profile
from mopar.costmodel.resource_model import ResourceModel
from mopar.graph import Layer, Model
from mopar.pipeline.calibration.scale import shipped_resources
from mopar.planning.model.memory import active_bytes
from mopar.profiling import FunctionMemory, RunBudget, completed, compose, profile_engine, profile_request
from mopar.profiling.shards import shard_steps
from mopar.types import CutPosition, LayerProfile, Profile, RuntimeCosts, ShardStep, WeightProfile
from tests.models.drawn.drawing import Array

_SLOWER = 300.0
"""Factor on layers' times: a few ms each, so that the cost of a call does not exclude cuts."""
_WEIGHTS_BYTES = 200 << 20
_CORES = 4
_POSITIONS = 8
_CHEAP = RuntimeCosts(base_mib=1.0, hop_ms=0.02, hop_billed_ms=0.01, wire_ms_per_mib=0.1, init_ms=1.0, exchange_ms=0.01)
_QUICK = RunBudget(seconds=0.02, min_runs=3, max_runs=5, warm_runs=1)
_EQUAL_MEMORY = FunctionMemory(40.0, 20.0, ())
"""The same overhead for every function."""
_MIB = 1 << 20


def large_profile(model: Model, values: Mapping[str, Array], random: np.random.Generator) -> Profile:
    """Predicted, with slower layers, larger weights, and calls that cost next to nothing."""
    with _few_steps(random):
        return _enlarged(predict_profile(model, slower(), inputs=values))


def plain_profile(model: Model, values: Mapping[str, Array], random: np.random.Generator) -> Profile:
    """Predicted, unchanged."""
    with _few_steps(random):
        return _with_cores(predict_profile(model, _shipped(), inputs=values))


def measured_profile(model: Model, values: Mapping[str, Array], random: np.random.Generator) -> Profile:
    """Measured in a few runs, except for memory."""
    with _few_steps(random):
        engine = profile_engine(model, profile_request(model, inputs=values), budget=_QUICK)
    return _with_cores(completed(engine, _CHEAP, _EQUAL_MEMORY))


@contextmanager
def _few_steps(random: np.random.Generator) -> Iterator[None]:
    """Consider steps between some of the cut positions, for one number of parts; both vary with the model."""
    parts = (int(random.choice([2, 2, 3, 4])),)

    def steps(
        model: Model,
        layers: Sequence[Layer],
        profiles: Sequence[LayerProfile],
        weights: Sequence[WeightProfile],
        cuts: Sequence[CutPosition],
        sizes: Mapping[str, int],
    ) -> tuple[ShardStep, ...]:
        chosen = random.permutation(len(cuts))[:_POSITIONS]
        some = [cuts[number] for number in sorted(chosen)]
        return shard_steps(model, layers, profiles, weights, some, sizes, parts)

    with patch.object(compose, "shard_steps", steps):
        yield


@cache
def _shipped() -> ResourceModel:
    return shipped_resources()


@cache
def slower() -> ResourceModel:
    shipped = _shipped()
    families = {
        name: replace(
            family,
            flops_per_ms=family.flops_per_ms / _SLOWER,
            bytes_per_ms=family.bytes_per_ms / _SLOWER,
            fixed_ms=family.fixed_ms * _SLOWER,
        )
        for name, family in shipped.families.items()
    }
    return replace(shipped, families=families)


def _with_cores(profile: Profile) -> Profile:
    return replace(profile, machine=replace(profile.machine, cores=_CORES))


def _enlarged(profile: Profile) -> Profile:
    times = _WEIGHTS_BYTES // max(sum(weight.resident_bytes for weight in profile.weights), 1)
    weights = tuple(
        replace(one, resident_bytes=one.resident_bytes * times, file_bytes=one.file_bytes * times)
        for one in profile.weights
    )
    shards = tuple(
        replace(
            step,
            parts=tuple(
                replace(part, resident_bytes=part.resident_bytes * times, file_bytes=part.file_bytes * times)
                for part in step.parts
            ),
        )
        for step in profile.shards
    )
    held = sum(one.resident_bytes for one in weights) + active_bytes(profile, 0, len(profile.layers))
    whole = replace(profile.whole, memory_mib=_CHEAP.base_mib + held / _MIB)
    return _with_cores(replace(profile, weights=weights, shards=shards, whole=whole, samples=(), runtime=_CHEAP))
