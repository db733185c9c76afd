"""Required memory of any slice of a model, as a function of its own."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from mopar.bundle import Bundle
from mopar.engine.prepack import pack_graph
from mopar.files import temporary_folder
from mopar.graph import Layer, Model, boundary, cut_positions, extract, save_model
from mopar.measurement.policy import MEMORY, MemoryPolicy
from mopar.measurement.recording import record
from mopar.measurement.required_memory import required_memory
from mopar.measurement.single import chain_bundle
from mopar.platforms import host_platform
from mopar.profiling import sample_inputs
from mopar.profiling.points import Point
from mopar.types import PACKED_OPTIONS

Span = tuple[int, int]


def slice_memory_mib(
    model: Model,
    layers: Sequence[Layer],
    span: Span,
    points: Mapping[str, Point],
    *,
    policy: MemoryPolicy = MEMORY,
    progress: Callable[[str], None] = lambda _line: None,
) -> float:
    """Measure the required memory of layers ``span[0]`` to ``span[1]`` (exclusive).

    Its inputs are made as a model's are: what it computes on does not change what it holds.

    Args:
        model: in canonical form.
        layers: of it.
        span: start and stop.
        points: sizes of the model's tensors.
        policy: how required memory is searched for.
        progress: called with each stage, and the share of all that is done.

    Raises:
        ModelError, BundleError, EngineError, PlatformError: the slice cannot stand alone, or not run on such inputs.
    """
    with temporary_folder("mopar-slice-") as folder:
        bundle = slice_bundle(model, layers, span, folder)
        shapes = {spec.name: points[spec.name].shape for spec in bundle.manifest.inputs}
        recording = record(bundle, sample_inputs(bundle.manifest.inputs, shapes=shapes)[0])
        (function,) = bundle.manifest.plan.functions
        launch = host_platform().launch(bundle, function.name, recording.calls[function.name])
        return required_memory(launch, cpu=1.0, policy=policy, progress=progress).required_mib


def slice_bundle(model: Model, layers: Sequence[Layer], span: Span, folder: Path) -> Bundle:
    """A slice as a bundle of one function, packed for this machine."""
    inputs, outputs = boundary(model, layers, *span)
    files = save_model(extract(model, *span, layers), folder / "source" / "slice.onnx")
    packed = pack_graph(files[0], folder / "packed" / "slice.onnx", PACKED_OPTIONS)
    return chain_bundle(model.name, (packed,), (inputs, outputs), PACKED_OPTIONS)


def spans_of(model: Model, layers: Sequence[Layer], *, uniform: int, random: int, seed: int = 0) -> list[Span]:
    """The whole model, slices of about equal numbers of layers, and slices between random cut positions."""
    count = len(layers)
    positions = [0, *(cut.index for cut in cut_positions(model, layers)), count]
    edges = sorted({min(positions, key=lambda at: abs(at - count * k / uniform)) for k in range(uniform + 1)})
    spans = [(0, count), *pairwise(edges)]
    draw = np.random.default_rng(seed)
    for _ in range(random):
        if len(positions) > 2:
            start, stop = sorted(draw.choice(len(positions), 2, replace=False))
            spans.append((positions[start], positions[stop]))
    return list(dict.fromkeys(spans))
