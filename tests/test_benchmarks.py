"""The benchmarks take minutes, so no test runs them; these keep them from breaking unnoticed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import listed

ROOT = Path(__file__).parents[1]


def module(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", sorted(listed()))
def test_each_still_finds_what_it_imports_and_writes_raw_samples(name: str) -> None:
    assert "--json FILE" in module(f"benchmarks.{name}", "--help")


def test_the_list_has_a_line_for_each() -> None:
    printed = module("benchmarks")
    assert [name for name, line in listed().items() if not line or f"{name} " not in printed] == []


@pytest.mark.models
def test_the_demo_still_finds_what_it_imports() -> None:
    assert "--max-functions" in module("examples.minilm_search", "--help")


def test_a_step_is_measured_on_one_machine(tmp_path: Path) -> None:
    """The smallest run of the benchmark whose arithmetic rests on the runner's own timings."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("a step of two functions wants two cores")
    raw = tmp_path / "step.json"
    module("benchmarks.step_latency", "--steps", "2", "--json", str(raw))
    samples = json.loads(raw.read_text())["samples_ms"]
    assert {name: len(found) for name, found in samples.items()} == dict.fromkeys(samples, 2)
    assert all(value > 0 for name, found in samples.items() if name.startswith("engine") for value in found)
