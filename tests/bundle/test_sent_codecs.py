"""Which of a plan's codecs are of messages, and what is said of those that lose something."""

from dataclasses import replace
from pathlib import Path

from mopar.bundle import build, open_bundle
from mopar.bundle.sent_codecs import functions_that_encode, lossy_parameters, sent_codecs
from mopar.graph import load_model
from mopar.types import Accuracy, PlanCoding
from tests.bundle.plans import chain, some_cuts
from tests.models import materialise


def test_codecs_of_messages_change_no_graph(tmp_path: Path) -> None:
    """Of three functions, the first two share the tensor; a store of objects is nothing that they do."""
    model = load_model(materialise("conv_chain"))
    plan = chain(model, some_cuts(model, 2))
    first, second, _ = plan.calls
    (shared,), (other,) = first.outputs, second.outputs
    coded = replace(plan, codecs={shared: "blosc2:lz4-shuffle", other: "object-store"})
    assert sent_codecs(coded, {}) == {shared: "blosc2:lz4-shuffle"}
    build(model, plan, tmp_path / "plain")
    build(model, coded, tmp_path / "coded")
    plain, found = (open_bundle(tmp_path / kind).manifest for kind in ("plain", "coded"))
    assert functions_that_encode(found) == {"f0", "f1"}
    assert functions_that_encode(plain) == frozenset()
    assert found.calls == plain.calls
    assert [graph.files for graph in found.graphs] == [graph.files for graph in plain.graphs]


def test_what_is_lost_is_said() -> None:
    model = load_model(materialise("conv_chain"))
    plan = chain(model)
    codecs = {"a": "int8", "b": "linear:4", "c": "int8", "d": "blosc2:zstd-shuffle"}
    lossy = replace(plan, codecs=codecs, coding=PlanCoding("0" * 64, Accuracy("top1", 0.25, 0.5)))
    assert lossy_parameters(lossy) == {
        "lossy_codecs": "int8,linear:4",
        "accuracy_metric": "top1",
        "accuracy_points_lost": 0.25,
        "accuracy_budget": 0.5,
    }
    assert lossy_parameters(replace(plan, codecs={"d": "blosc2:zstd-shuffle"})) == {}
