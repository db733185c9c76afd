"""Drawn models in parts that encode tensors, against the same layers whole with each share encoded by itself."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from mopar.bundle.codes import Codings
from mopar.codecs import Fitted, codec_of
from mopar.graph import Model, layers_of, load_model, tensor_shapes
from mopar.pipeline.codecs.engine import tensor_values
from mopar.pipeline.codecs.sliced import SlicedModel
from mopar.types import REQUEST, Plan, Share
from tests.models.drawn.composed import Composer
from tests.models.drawn.drawing import Array
from tests.models.drawn.models import draw
from tests.models.drawn.plans import plans_of
from tests.models.drawn.profiles import large_profile

CODECS = ("fp16", "int8", "int8-static", "int4", "linear")
SEEDS = (5, 7, 11, 16)
"""Among them products of two decoded tensors, and a pool between a decoder and an encoder."""
OFF = 0.05
"""Of the largest value: values that are nearly between two codes are rounded apart, and later layers enlarge it."""


@pytest.mark.parametrize("seed", SEEDS)
def test_parts_answer_as_whole_layers_do(seed: int, tmp_path: Path) -> None:
    drawn, path = draw(seed), tmp_path / "model.onnx"
    onnx.save(drawn.model, path)
    model, random = load_model(path), np.random.default_rng([seed, 3])
    requests = [drawn.values(point) for point in drawn.points]
    composer, sliced, encoded = Composer(model), SlicedModel(model, layers_of(model)), 0
    for made in plans_of(large_profile(model, requests[0], random), random):
        shares = shares_of(made.plan)
        for codings in codings_of(model, made.plan, shares, requests):
            encoded += sum(share.axis is not None for name in codings for share in shares[name])
            plan = replace(made.plan, codecs={name: one.text for name, one in codings.items()})
            composition = composer.prepare(plan, codings)
            sliced.cut(plan)
            for values, want in zip(requests, sliced.answers(plan, codings, requests), strict=True):
                got = composition.run(values)
                for name, array in want.items():
                    whole = array.astype(np.float64)
                    off = float(np.max(np.abs(got[name].astype(np.float64) - whole), initial=0.0))
                    assert off <= OFF * float(np.max(np.abs(whole), initial=1e-6)), (made.label, plan.codecs)
    assert encoded > 0


def shares_of(plan: Plan) -> dict[str, list[Share]]:
    """What calls make of each tensor."""
    found: dict[str, list[Share]] = {}
    for graph in plan.graphs:
        for share in map(Share, graph.outputs) if graph.part is None else graph.part.outputs:
            found.setdefault(share.tensor, []).append(share)
    return found


def codings_of(
    model: Model, plan: Plan, shares: Mapping[str, list[Share]], requests: list[dict[str, Array]]
) -> Iterator[Codings]:
    """Each codec, on all tensors between functions that it encodes as they are made."""
    specs, outputs = tensor_shapes(model), {name for name, _ in plan.outputs}
    read = (source for call in plan.calls for item in call.inputs for source in item.sources)
    crossing = {source.tensor for source in read if source.producer != REQUEST} - outputs
    names = sorted(name for name in crossing if specs[name].dtype == "float32")
    if not names or not any(graph.part for graph in plan.graphs):
        return
    samples = dict(tensor_values(model, layers_of(model), dict.fromkeys(names, 1), requests))
    for codec in map(codec_of, CODECS):
        found: dict[str, Fitted] = {}
        for name in names:
            for text in list(codec.offers(specs[name], samples[name]))[-1:]:
                fitted = codec.fit(text, specs[name], samples[name])
                axes = {None, *codec.share_axes(fitted)}
                if all(share.axis in axes and not share.summand for share in shares[name]):
                    found[name] = fitted
        if found:
            yield found
