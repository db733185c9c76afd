"""Benchmarks take minutes, so tests do not run them in full; these tests detect that one is broken."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop

from benchmarks.__main__ import listed
from benchmarks.architectures import FULL, SUITE, Architecture
from benchmarks.architectures.families import FAMILIES
from benchmarks.architectures.trial import Served, Trial, Tried
from benchmarks.handover import small
from benchmarks.held_time import requests_of
from benchmarks.resource_model import ZOO
from mopar.shapes import parse_shapes

ROOT = Path(__file__).parents[1]


def module(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


HELPS = """
import json, os, runpy, sys
import numpy, onnx, onnx_ir, onnxruntime, mopar.pipeline.profile, mopar.pipeline.stages, mopar.platforms.local
codes = {}
for name in sys.argv[2:]:
    if not (child := os.fork()):
        told = os.open(os.path.join(sys.argv[1], name), os.O_WRONLY | os.O_CREAT)
        os.dup2(told, 1)
        os.dup2(told, 2)
        sys.argv = [name, "--help"]
        runpy.run_module(f"benchmarks.{name}", run_name="__main__", alter_sys=True)
        sys.exit("it does not end with its help")
    codes[name] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(json.dumps(codes))
"""
"""Each in a process of its own, of which what most of them import is loaded once."""


@pytest.fixture(scope="module")
def helps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Benchmark -> exit code and output of its ``--help``."""
    folder = tmp_path_factory.mktemp("helps")
    command = [sys.executable, "-c", HELPS, str(folder), *listed()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return {name: (code, (folder / name).read_text()) for name, code in json.loads(done.stdout).items()}


@pytest.mark.parametrize("name", sorted(listed()))
def test_each_still_finds_what_it_imports_and_writes_raw_samples(name: str, helps: dict[str, tuple[int, str]]) -> None:
    code, told = helps[name]
    assert code == 0, told
    assert "--json FILE" in told


def test_the_list_has_a_line_for_each() -> None:
    printed = module("benchmarks")
    assert [name for name, line in listed().items() if not line or f"{name} " not in printed] == []


@pytest.mark.parametrize("item", [*SUITE.values(), *FULL.values()], ids=lambda item: item.name)
def test_an_architecture_is_asked_for_sizes_within_the_ranges_that_it_is_profiled_for(item: Architecture) -> None:
    shapes = parse_shapes(item.ranges())
    assert set(shapes) == {one.name for one in item.inputs if any(isinstance(dim, str) for dim in one.shape)}
    tested = {(name, size) for point in item.points for name, size in point.items()}
    assert tested == {(name, size) for name, sizes in item.sizes.items() for size in sizes}
    for point in item.points:
        for name, value in item.request(sizes=point).items():
            for size, bounds in zip(value.shape, shapes[name].bounds if name in shapes else (), strict=False):
                assert bounds is None or bounds[0] <= size <= bounds[1]


def test_every_model_that_predictions_are_tested_on_has_a_family() -> None:
    """One that is forgotten would be a stranger to its like, and the errors too small."""
    stated = [model for models in FAMILIES.values() for model in models]
    assert sorted(stated) == sorted([*ZOO, *FULL])


def test_enough_architectures_are_tried() -> None:
    assert len(SUITE) > 100


def test_an_architecture_fails_by_any_plan_any_answer_and_any_dead_worker() -> None:
    well = Trial("x", measured=False, exported=True, plans=(Tried("cost", "1", worst=0.0),), served=Served("cost", 48))
    assert well.failures == ()
    wrong = Tried("latency", "1+1", failed="build: BundleError: no")
    assert replace(well, plans=(*well.plans, wrong)).failures == ("latency: build: BundleError: no",)
    for served in (Served("cost", 48, unequal=1), Served("cost", 48, errors=("no",)), Served("cost", 48, restarts=1)):
        assert len(replace(well, served=served).failures) == 1


@pytest.mark.models
def test_the_demo_still_finds_what_it_imports() -> None:
    assert "--max-functions" in module("examples.minilm_search", "--help")


def test_a_step_is_measured_on_one_machine(tmp_path: Path) -> None:
    """The smallest run of the benchmark that relies on the runner's own timings."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("a step of two functions wants two cores")
    raw = tmp_path / "step.json"
    module("benchmarks.step_latency", "--steps", "2", "--json", str(raw))
    samples = json.loads(raw.read_text())["samples_ms"]
    assert {name: len(found) for name, found in samples.items()} == dict.fromkeys(samples, 2)
    assert all(value > 0 for name, found in samples.items() if name.startswith("engine") for value in found)


def test_a_caller_times_a_chain_that_its_functions_pass_on(tmp_path: Path) -> None:
    bundle, feeds = small(tmp_path)
    (request,) = uvloop.run(requests_of(bundle, feeds, 1))
    assert request.asked_ms >= request.held_ms > 0
