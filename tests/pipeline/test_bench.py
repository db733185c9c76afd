"""The configurations of a benchmark can be opened by the server that they are measured through."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mopar.bundle import open_bundle
from mopar.files import from_json, to_json
from mopar.graph import load_model
from mopar.pipeline.bench import BenchOptions, bench
from mopar.pipeline.bench.configs import resized, torch_module, untouched
from mopar.pipeline.stages import PlanOptions
from mopar.types import MoparError
from mopar.types.reports import BenchReport


@pytest.mark.parametrize("name", ["mlp", "external", "symbolic", "half", "multi_output"])
def test_the_users_file_is_a_bundle_like_any_other(reference: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    config = resized(untouched(load_model(reference(name)), tmp_path), {"f0": 64})
    opened = open_bundle(config.bundle.root)
    assert opened.manifest == config.bundle.manifest
    assert opened.manifest.plan.functions[0].memory_mib == 64


def test_a_torch_module_is_opened_for_its_own_worker(reference: Callable[[str], Path], tmp_path: Path) -> None:
    config = resized(torch_module(load_model(reference("mlp")), "nets:Net", tmp_path), {"f0": 64})
    opened = open_bundle(config.bundle.root, check=False, worker=config.bundle.worker)
    assert opened.runnable(opened.manifest.graphs[0])[0].read_text() == "nets:Net"


@pytest.mark.slow
def test_a_small_model_is_measured_in_all_configurations(reference: Callable[[str], Path], tmp_path: Path) -> None:
    path = tmp_path / "mlp.onnx"
    path.write_bytes(reference("mlp").read_bytes())
    report = bench(path, BenchOptions(PlanOptions(), requests=3))
    assert {"ort-unsplit", "ort-tuned-unsplit", "uniform", "mopar-cost"} <= {row.config for row in report.rows}
    assert all(row.equal for row in report.rows)
    assert from_json(to_json(report), BenchReport, what="the report", error=MoparError) == report
