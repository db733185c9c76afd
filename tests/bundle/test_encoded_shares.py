"""Parts that read and make encoded tensors answer as the same slices in one function each do, with the same codecs."""

import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from mopar.bundle import build, open_bundle
from mopar.codecs import Fitted
from mopar.gateway.arrays import Array
from mopar.graph import tensor_shapes
from mopar.measurement.recording import record
from mopar.types import BundleError, Plan
from tests.bundle.parted import ARRANGED, MODEL, in_one, in_parts, known
from tests.bundle.test_codes import Plain, fitted, recorded, samples_of
from tests.models import sample_inputs
from tests.models.answers import change

ALIKE = {"fp16": 1e-3, "bf16": 8e-3, "int8": 4e-2, "int8-static": 1e-2, "int4": 0.2, "linear": 1e-2, "uniform": 1e-2}
"""One step of the codec where nearly equal values are rounded apart; more where shares have ranges of their own."""


@functools.cache
def plain_of(arrangement: str) -> Plain:
    """Whole tensors, which are the same for every codec."""
    model, plan = known()[0], in_one(arrangement)
    return recorded(model, plan, [sample_inputs(MODEL, seed) for seed in range(3)])


def codings_of(arrangement: str, codec: str) -> dict[str, Fitted]:
    """Fitted to whole tensors."""
    plain = plain_of(arrangement)
    return dict(fitted(codec, tensor_shapes(plain.model), samples_of(plain.plan, plain.recordings)))


def answer(plan: Plan, codings: Mapping[str, Fitted], folder: Path) -> list[Array]:
    build(known()[0], replace(plan, codecs={name: one.text for name, one in codings.items()}), folder, codings=codings)
    return list(record(open_bundle(folder), sample_inputs(MODEL, 5)).outputs.values())


@pytest.mark.parametrize("codec", sorted(ALIKE))
@pytest.mark.parametrize("arrangement", sorted(ARRANGED))
def test_answers_are_those_of_one_function(arrangement: str, codec: str, tmp_path: Path) -> None:
    codings = codings_of(arrangement, codec)
    assert codings
    plan = in_parts(arrangement)
    if codec == "linear" and arrangement not in {"input", "rows"}:
        with pytest.raises(BundleError, match=r"encodes shares along axis 1 of .* with linear"):
            answer(plan, codings, tmp_path / "parts")
        return
    whole = answer(in_one(arrangement), codings, tmp_path / "whole")
    off = change(whole, answer(plan, codings, tmp_path / "parts"))
    assert off <= ALIKE[codec]
