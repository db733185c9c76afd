"""Bundles whose plan encodes messages answer as they do without, bit for bit, and send fewer bytes."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import uvloop

from mopar.bundle import Bundle, build, open_bundle
from mopar.gateway.arrays import Array, from_array, to_array
from mopar.gateway.executor import Executor
from mopar.graph import Model, load_model
from mopar.platforms.codes import codec_library
from mopar.platforms.local.http_deployment import HttpDeployment
from mopar.runtime.variants import VARIANTS
from mopar.types import Plan, PlatformError
from tests.bundle.parted import ARRANGED, in_parts, known
from tests.bundle.parted import MODEL as PARTED
from tests.bundle.plans import chain, some_cuts
from tests.models import materialise, sample_inputs

MODELS = ("conv_chain", "two_input", "multi_output", "skip")
pytestmark = pytest.mark.usefixtures("nothing_left")


def planned(plan: Plan, text: str) -> Plan:
    """Every tensor with a codec that passes between functions or to or from them."""
    names = {source.tensor for call in plan.calls for item in call.inputs for source in item.sources}
    return replace(plan, codecs=dict.fromkeys(sorted(names | {name for name, _ in plan.outputs}), text))


def compressible(name: str) -> dict[str, Array]:
    """Inputs of few different values."""
    return {key: value.astype(np.int8).astype(value.dtype) for key, value in sample_inputs(name, 3).items()}


async def served(bundle: Bundle, inputs: Mapping[str, Array]) -> tuple[dict[str, bytes], int, int]:
    """The outputs of two requests alike, and bytes sent to functions and by them."""
    async with HttpDeployment(bundle, limits=False) as deployment:
        transport = deployment.transport()
        executor = Executor(bundle.manifest, transport)
        answers = []
        for _ in range(2):
            values = {name: from_array(name, value) for name, value in inputs.items()}
            async with executor.infer(values, None, 30.0) as answer:
                answers.append({value.name: to_array(value).tobytes() for value in answer.outputs})
        await executor.close()
        assert answers[0] == answers[1]
        payloads = transport.payloads.values()
        return answers[0], sum(one.sent_bytes for one in payloads), sum(one.received_bytes for one in payloads)


@pytest.mark.parametrize(("name", "text"), [*zip(MODELS, sorted(VARIANTS), strict=True)])
def test_answers_are_the_same_bytes(name: str, text: str, tmp_path: Path) -> None:
    model = load_model(materialise(name))
    sent, received = saved(model, chain(model, some_cuts(model, 2)), text, name, tmp_path)
    if name == "conv_chain":  # the others' tensors are too small for a codec
        assert sent > 0
        assert received > 0


@pytest.mark.parametrize("arrangement", sorted(ARRANGED))
def test_parts_answer_with_the_same_bytes(arrangement: str, tmp_path: Path) -> None:
    """What they make is fewer bytes; what they are sent may be more, where each reads a region and is sent the code."""
    _, received = saved(known()[0], in_parts(arrangement), "blosc2:zstd-bitshuffle", PARTED, tmp_path)
    assert received > 0


def test_parts_are_sent_codes_of_what_they_read_regions_of(tmp_path: Path) -> None:
    """Also of a region that is contiguous, of which the gateway would otherwise send what it decoded."""
    model, plan = known()[0], in_parts("channels")
    build(model, plan, tmp_path / "plain")
    build(model, planned(plan, "blosc2:lz4-shuffle"), tmp_path / "encoded")
    regions = [
        [source.region for call in open_bundle(tmp_path / kind).manifest.calls for item in call.inputs
         for source in item.sources if source.region is not None]
        for kind in ("plain", "encoded")
    ]  # fmt: skip
    assert regions[0]
    assert not regions[1]


def saved(model: Model, plan: Plan, text: str, name: str, folder: Path) -> tuple[int, int]:
    """Bytes that are sent to functions and by them that codes save; answers have to be the same."""
    build(model, plan, folder / "plain")
    build(model, planned(plan, text), folder / "encoded")
    plain, coded = (open_bundle(folder / kind) for kind in ("plain", "encoded"))
    want, sent, received = uvloop.run(served(plain, compressible(name)))
    got, coded_sent, coded_received = uvloop.run(served(coded, compressible(name)))
    assert got == want
    return sent - coded_sent, received - coded_received


def test_without_the_library_it_is_said_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(materialise("skip"))
    build(model, planned(chain(model, some_cuts(model, 2)), "blosc2:lz4-shuffle"), tmp_path / "bundle")
    monkeypatch.setattr("mopar.platforms.codes._PACKAGE", "no_such_package")
    with pytest.raises(PlatformError, match=r"pip install mopar\[lossless\]"):
        codec_library()

    async def main() -> None:
        with pytest.raises(PlatformError, match=r"sent encoded with Blosc2, whose library is not here"):
            async with HttpDeployment(open_bundle(tmp_path / "bundle"), limits=False):
                pass

    uvloop.run(main())


def test_codes_are_no_larger_than_planned(tmp_path: Path) -> None:
    """With next to nothing planned for them, all tensors are sent as they are."""
    model = load_model(materialise("conv_chain"))
    plan = planned(chain(model, some_cuts(model, 2)), "blosc2:lz4-shuffle")
    build(model, replace(plan, codecs={}), tmp_path / "plain")
    build(model, replace(plan, code_ratios=dict.fromkeys(plan.codecs, 0.001)), tmp_path / "encoded")
    plain, coded = (open_bundle(tmp_path / kind) for kind in ("plain", "encoded"))
    want, sent, received = uvloop.run(served(plain, compressible("conv_chain")))
    got, coded_sent, coded_received = uvloop.run(served(coded, compressible("conv_chain")))
    assert got == want
    assert coded_sent >= sent
    assert coded_received >= received
