"""Calibration end to end on a tiny budget, and its state after an interruption."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from mopar.costmodel.resource_file import read_resources
from mopar.machine import machine_facts
from mopar.measurement.call_costs import runtime_costs
from mopar.pipeline.calibration import scale as scaling
from mopar.pipeline.calibration.scale import resources_here, shipped_resources

TINY_MIN = "0.5"
REFUSED = """
import sys
from mopar.cli.app import run_app
for budget in sys.argv[1:]:
    try:
        run_app(["calibrate", f"--budget-min={budget}"])
    except SystemExit as ended:
        print(ended.code)
"""


def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}


@pytest.mark.slow
@pytest.mark.cgroup
def test_a_tiny_calibration_predicts(tmp_path: Path) -> None:
    """An interrupted calibration does not block the next one, which continues it, and whose file predicts."""
    command = [sys.executable, "-m", "mopar", "calibrate", "--budget-min", TINY_MIN, "--json"]
    env = environment(tmp_path)
    begun = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    samples = tmp_path / "cache" / "mopar" / "resources" / "samples"
    until = time.monotonic() + 120
    while time.monotonic() < until and not list(samples.glob("*.json")):
        time.sleep(0.2)
    begun.send_signal(signal.SIGTERM)
    begun.communicate(timeout=60)
    assert begun.returncode == 128 + signal.SIGTERM
    kept = {path.name: path.stat().st_mtime for path in samples.glob("*.json")}
    assert kept
    assert not list(tmp_path.glob("mopar-*"))
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert {name: (samples / name).stat().st_mtime for name in kept} == kept
    document = json.loads(done.stdout)
    model = read_resources(Path(document["path"]))
    assert asdict(model.samples) == document["samples"]
    assert model.samples.slices >= 1
    assert all(family.fixed_ms > 0 for family in model.families.values())


def test_a_machine_that_was_never_calibrated_is_benchmarked_once(
    tmp_path: Path, new_cache: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one second of the minute that the benchmark may take."""
    cache = new_cache(tmp_path / "cache")
    shutil.rmtree(cache / "mopar" / "resources")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setattr(scaling, "_SECONDS", 1.0)
    told: list[str] = []
    model = resources_here(lambda stage, _share: told.append(stage))
    assert model.scaled_to == machine_facts()
    assert model.runtime == runtime_costs()
    assert model.families.keys() == shipped_resources().families.keys()
    assert model.families != shipped_resources().families
    assert [stage.partition(":")[0] for stage in told[:2]] == ["never calibrated here", "benchmark"]
    assert resources_here(lambda _stage, _share: told.append("again")) == model
    assert "again" not in told


def test_a_budget_that_measures_nothing_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", REFUSED, "0", "nan", "-3"],
        env=environment(tmp_path), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["2", "2", "2"], done.stderr
    assert done.stderr.count("error: --budget-min ") == 3
