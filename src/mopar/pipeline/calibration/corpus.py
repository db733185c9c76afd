"""A model measured for calibration: kernel times, and required memory of slices; kept on disk by model and machine."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mopar.costmodel.describe import Described, describe
from mopar.costmodel.observe import BUDGET, observe, samples_of
from mopar.costmodel.samples import TIMINGS_SCHEMA, ModelSamples, SliceMemory, Timings
from mopar.files import from_json, read_bounded, sha256_of, to_json, write_whole
from mopar.gateway.arrays import Array
from mopar.graph import Layer, Model, layers_of, load_model
from mopar.machine import machine_facts
from mopar.measurement.policy import MEMORY
from mopar.pipeline.calibration.slices import slice_memory_mib, spans_of
from mopar.profiling import RunBudget, sample_inputs
from mopar.profiling.cache import cache_key
from mopar.types import MoparError, ProfileError

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much of a model is measured.

    Attributes:
        two_threads: whether kernels are timed with two threads as well.
        uniform, random: slices whose required memory is measured, beside the whole; ``uniform`` 0 for no memory.
        requests: answers in a row that count as success.
        budget: of timed runs.
    """

    two_threads: bool = True
    uniform: int = 4
    random: int = 2
    requests: int = MEMORY.requests
    budget: RunBudget = BUDGET


@dataclass(frozen=True, slots=True)
class Subject:
    """A model that is measured, and all that is known of it without."""

    model: Model
    layers: tuple[Layer, ...]
    inputs: Mapping[str, Array]
    described: Described


def subject(path: Path, inputs: Mapping[str, Array] | None = None) -> Subject:
    """Load a model, and describe it at the point of its inputs.

    Raises:
        ModelError, InputError: it cannot be loaded, or its inputs do not fit.
    """
    model = load_model(path)
    values, _ = sample_inputs(model.inputs, given=inputs)
    layers = layers_of(model)
    return Subject(model, layers, values, describe(model, layers, {name: v.shape for name, v in values.items()}))


def measured_samples(
    path: Path,
    effort: Effort,
    *,
    base_mib: float,
    inputs: Mapping[str, Array] | None = None,
    cache: Path | None = None,
    say: Say = lambda _line: None,
) -> ModelSamples:
    """Measure a model, or take what was measured of it before on this machine.

    Args:
        path: of the ONNX file.
        effort: how much is measured.
        base_mib: required memory of a function that does nothing.
        inputs: values of some or all inputs.
        cache: folder of earlier measurements; None for none.
        say: called with a line per stage, and one for each slice that could not be measured.

    Raises:
        MoparError: the model cannot be loaded or run.
    """
    one = subject(path, inputs)

    def place(part: Effort) -> Path | None:
        key = cache_key([TIMINGS_SCHEMA, path.stem, sha256_of(path), part, machine_facts()])
        return cache / f"{path.stem}-{key}.json" if cache is not None else None

    # Times are kept apart, so that memory can be added to what was timed before.
    timed = replace(effort, uniform=0, random=0)
    timings = _kept(place(timed))
    if timings is None:
        say(f"{path.stem}: timing kernels")
        timings = observe(one.model, one.inputs, two_threads=effort.two_threads, budget=effort.budget)
        _keep(place(timed), timings)
    if effort.uniform:
        known = _kept(place(effort))
        memory = replace(timings, memory=_memory(one, effort, say), base_mib=base_mib) if known is None else known
        _keep(place(effort), memory)
        timings = replace(timings, memory=memory.memory, base_mib=memory.base_mib)
    return samples_of(timings, one.model, one.layers, one.described)


def _keep(path: Path | None, timings: Timings) -> None:
    if path is not None:
        with contextlib.suppress(OSError):  # a cache that cannot be written is none
            write_whole(path, to_json(timings))


def _kept(path: Path | None) -> Timings | None:
    if path is None:
        return None
    try:
        return from_json(read_bounded(path), Timings, what=str(path), error=ProfileError)
    except (OSError, ProfileError):
        return None


def _memory(one: Subject, effort: Effort, say: Say) -> tuple[SliceMemory, ...]:
    """Required memory of the whole and of slices; one that cannot run alone is left out, and said."""
    if not effort.uniform:
        return ()
    found = []
    policy = replace(MEMORY, requests=effort.requests)
    for span in spans_of(one.model, one.layers, uniform=effort.uniform, random=effort.random):
        say(f"{one.model.name}: memory of layers {span[0]} to {span[1]}")
        try:
            mib = slice_memory_mib(one.model, one.layers, span, one.described.inferred.points, policy=policy)
        except MoparError as error:
            say(f"{one.model.name}: layers {span[0]} to {span[1]} are left out: {error}")
            continue
        found.append(SliceMemory(*span, mib))
    return tuple(found)
