"""A benchmark of a tiny model, from its file to its report, with every baseline."""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from mopar.cli.bench import render_bench
from mopar.limits import detect_cgroups
from mopar.measurement.call_costs import init_ms
from mopar.pipeline.bench import BenchOptions, bench
from mopar.pipeline.stages import PlanOptions
from mopar.profiling import FunctionMemory
from tests.models.builder import Builder

pytestmark = pytest.mark.models

CONFIGS = ["ort-unsplit", "torch-unsplit", "ort-tuned-unsplit", "uniform", "mopar-cost", "mopar-balanced"]
TORCH = """
import torch

class Net(torch.nn.Module):
    def forward(self, x):
        return {"y": torch.tanh(torch.sigmoid(torch.tanh(x)))}
"""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three operators as an ONNX file and as an importable torch module."""
    graph = Builder("curves")
    x = graph.add("Sigmoid", graph.add("Tanh", graph.input("x", [1, 1024])))
    graph.add("Tanh", x, output="y")
    graph.output("y", [1, 1024])
    graph.save(tmp_path / "curves.onnx")
    (tmp_path / "nets.py").write_text(TORCH)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "curves.onnx"


@pytest.fixture
def _enough_memory(tmp_path: Path, new_cache: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """512 MiB for every function, 537.6 with headroom: measuring required memory takes minutes. Each starts once."""

    class Enough:
        required_mib = 512.0

    monkeypatch.setenv("XDG_CACHE_HOME", str(new_cache(tmp_path / "cache")))
    memory = FunctionMemory(512.0, 100.0, ())
    monkeypatch.setattr("mopar.pipeline.profile.function_memory", lambda *_: memory)
    monkeypatch.setattr("mopar.pipeline.bench.needs.required_memory", lambda _launch, cpu: Enough())  # noqa: ARG005
    monkeypatch.setattr("mopar.pipeline.bench.needs.init_ms", partial(init_ms, rounds=1))


@pytest.mark.usefixtures("_enough_memory")
def test_all_configurations_answer_and_are_compared(model: Path) -> None:
    options = BenchOptions(PlanOptions(), baselines=("ort", "ort-tuned", "uniform"), torch="nets:Net", requests=3)
    report = bench(model, options)
    configs = [row.config for row in report.rows]
    assert list(dict.fromkeys(configs)) == [*CONFIGS, "mopar-latency"]
    assert [row.config for row in report.rows if not row.equal] == []
    for row in report.rows:
        assert len(row.samples_ms) == 3
        assert row.memory_mib == (538,) * row.functions
        held = sum(538 / 1024 * ms / 1000 for ms in row.held_ms)
        assert row.gb_s_per_request == pytest.approx(held)
        gateway = row.gateway.memory_mib / 1024 * row.latency_ms.p50 / 1000 if row.functions > 1 else 0.0
        assert row.gb_s_with_gateway == pytest.approx(held + gateway)
        assert row.cpu_s_per_request > row.gateway.cpu_ms / 1e3 > 0, "functions compute too"
        assert row.allocator == "keeping" or row.config in {"ort-unsplit", "torch-unsplit"}
        assert row.limited == (detect_cgroups() is not None)
    by_name = {row.config: row for row in report.rows}
    ratio = by_name["mopar-cost"].gb_s_per_request / by_name["torch-unsplit"].gb_s_per_request
    assert report.ratios["mopar-cost/torch-unsplit gb_s"] == pytest.approx(ratio)


@pytest.mark.usefixtures("_enough_memory")
def test_rows_say_that_no_limit_was_set(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mopar.limits.detect._detect", lambda _root: "nobody may write cgroups")
    report = bench(model, BenchOptions(PlanOptions(), baselines=("ort",), requests=1))
    assert not any(row.limited for row in report.rows)
    printed = io.StringIO()
    render_bench(Console(file=printed, width=120), report)
    assert "no limits could be set" in printed.getvalue()
