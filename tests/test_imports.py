"""Imports stay light: each function of a deployment and each command line pays for them."""

import json
import subprocess
import sys

import pytest

HEAVY = {"numpy", "onnx", "onnx_ir", "onnxruntime", "onnxscript", "rich", "torch", "transformers", "typer", "uvicorn"}


def loaded_by(module: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after importing ``module``."""
    code = f"import json, sys, {module}; print(json.dumps([name.partition('.')[0] for name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("module", ["mopar", "mopar.types"])
def test_the_core_loads_nothing_heavy(module: str) -> None:
    assert loaded_by(module) & HEAVY == set()


def test_what_runs_in_a_function_loads_the_standard_library_only() -> None:
    """Not even dataclasses with its dependency inspect: every function holds what is imported."""
    loaded = loaded_by("mopar.runtime.worker")
    assert loaded & (HEAVY | {"dataclasses", "inspect", "msgspec"}) == set()


def test_a_process_that_is_timed_loads_the_engine_and_the_documents_of_its_job_alone() -> None:
    code = "import sys, mopar.engine.timing.child; print(*[name for name in sys.modules if name.startswith('mopar')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    parts = ("mopar", "mopar.engine", "mopar.engine.timing", "mopar.engine.timing.job", "mopar.engine.timing.child")
    assert set(done.stdout.split()) == set(parts)


def test_capture_loads_what_is_heavy_only_to_capture() -> None:
    """The worker of the torch baseline imports it, and its memory is compared."""
    assert loaded_by("mopar.capture") & HEAVY == set()


def test_the_gateway_reads_no_models() -> None:
    """It only transfers tensors; onnx and the engine's Python binding would add 70 MiB."""
    assert loaded_by("mopar.pipeline.serve") & {"onnx", "onnx_ir", "onnxruntime", "onnxscript", "torch"} == set()


def test_the_command_line_starts_without_what_its_verbs_need() -> None:
    assert loaded_by("mopar.cli") & (HEAVY - {"rich", "typer"}) == set()
