"""Imports stay light: each function of a deployment and each command line pays for them."""

import importlib
import json
import subprocess
import sys
from types import ModuleType

import pytest

HEAVY = {"numpy", "onnx", "onnx_ir", "onnxruntime", "onnxscript", "rich", "torch", "transformers", "typer", "uvicorn"}
UNWANTED = {"click", "email", "hashlib", "prometheus_client", "shutil", "ssl", "tempfile"}
"""What a gateway has no use for."""


def loaded_by(module: str, first: str = "") -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after importing ``module``."""
    code = f"""{first}
import json, sys, {module}
print(json.dumps([name.partition(".")[0] for name, found in sys.modules.items() if found is not None]))"""
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


def test_the_gateway_loads_what_serving_needs_alone() -> None:
    """What it loads it holds for as long as it serves (docs/decisions/gateway-memory.md)."""
    first = "import mopar.cli.loop; mopar.cli.loop.uvloop_without_openssl()"
    loaded = loaded_by("mopar.cli.foreground", first)
    assert {"uvloop", "msgspec", "httptools", "asyncio"} <= loaded
    assert loaded & (HEAVY | UNWANTED) == set()


def test_a_gateway_that_runs_emulators_needs_little_more() -> None:
    """Neither signatures nor TLS, which calls of Lambda itself need."""
    first = "import mopar.cli.loop; mopar.cli.loop.uvloop_without_openssl(); import mopar.cli.foreground"
    loaded = loaded_by("mopar.platforms.aws_lambda.instances", first)
    assert loaded & (HEAVY | UNWANTED | {"boto3", "botocore", "configparser", "hmac", "http.client"}) == set()


@pytest.mark.parametrize("module", ["bundle", "limits"])
def test_names_that_are_imported_when_they_are_used_are_all_there(module: str) -> None:
    package = importlib.import_module(f"mopar.{module}")
    for name in package.__all__:
        assert not isinstance(getattr(package, name), ModuleType), "a module that took the name's place"
    assert not hasattr(package, "no_such_name")


def test_the_command_line_starts_without_what_its_verbs_need() -> None:
    assert loaded_by("mopar.cli") & (HEAVY - {"rich", "typer"}) == set()
