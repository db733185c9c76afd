"""``mopar bench`` over HTTP plans for the network that it emulates, as ``mopar plan`` does."""

import sys
from pathlib import Path

import numpy as np
import pytest

from mopar.cli import main
from mopar.pipeline import bench as benching
from mopar.pipeline.bench import BenchOptions
from mopar.pipeline.profile import predict_model
from mopar.profiling import Progress
from mopar.runtime.variants import VARIANTS
from mopar.types.reports import BenchReport
from tests.models import materialise

LIMIT_MIB = 512.0


class Enough:
    required_mib = LIMIT_MIB


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[BenchReport]:
    """The reports that are made, of a predicted profile and 512 MiB for each function: both take long to measure."""
    found: list[BenchReport] = []

    def recorded(path: Path, options: BenchOptions, progress: Progress) -> BenchReport:
        found.append(bench(path, options, progress))
        return found[-1]

    bench = benching.bench
    monkeypatch.setattr(benching, "bench", recorded)
    monkeypatch.setattr(
        "mopar.pipeline.bench.run.measure_model", lambda path, *, inputs, **_: predict_model(path, inputs=inputs)
    )
    monkeypatch.setattr("mopar.pipeline.bench.needs.required_memory", lambda _launch, cpu: Enough())  # noqa: ARG005
    return found


def test_what_compresses_is_compressed_behind_a_network(
    reports: list[BenchReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, inputs = tmp_path / "conv_chain.onnx", tmp_path / "inputs.npz"
    model.write_bytes(materialise("conv_chain").read_bytes())
    np.savez(inputs, allow_pickle=False, image=np.random.default_rng(0).integers(0, 3, (1, 3, 32, 32)).astype("f"))
    asked = ["--inputs", str(inputs), "--requests", "2", "--transport", "http", "--bandwidth-mbit", "10"]
    asked += ["--baselines", "ort,ort-tuned"]
    monkeypatch.setattr(sys, "argv", ["mopar", "bench", str(model), *asked])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    (report,) = reports
    rows = {row.label: row for row in report.rows}
    planned = [row for row in report.rows if row.config != "ort-unsplit"]
    assert [row.config for row in report.rows if not row.equal] == []
    assert not rows["ort-unsplit"].codecs
    assert all(row.codecs and set(row.codecs.values()) <= VARIANTS.keys() for row in planned)
    assert rows["ort-unsplit"].memory_mib == (538,)
    assert all(max(row.memory_mib) >= 540 for row in planned), "the library and the codes, with 5% of headroom"
    assert report.prices == "paper"
    text = rows["mopar-cost"].codecs["image"]
    assert f"mopar-cost compresses {len(rows['mopar-cost'].codecs)} by {text}" in capsys.readouterr().out
