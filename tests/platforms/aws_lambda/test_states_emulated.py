"""A state machine whose functions are what packages hold, on Amazon's emulator, with tensors in a bucket."""

import base64
import contextlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mopar.bundle import Bundle
from mopar.platforms.aws_lambda import states
from mopar.platforms.aws_lambda.emulator import EmulatedFunction
from mopar.platforms.aws_lambda.function_package import FunctionPackage
from mopar.platforms.aws_lambda.packages import PackageSettings, make_packages
from tests.bundle.plans import built
from tests.graph.composed import run_file
from tests.models import sample_inputs
from tests.platforms.aws_lambda.conftest import Aws
from tests.platforms.aws_lambda.s3 import BUCKET, serving
from tests.platforms.aws_lambda.test_states import Machine
from tests.platforms.local.leftovers import nothing_left

__all__ = ["nothing_left"]


@pytest.fixture(scope="module")
def bundle(reference: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return built(reference("skip"), tmp_path_factory.mktemp("bundle") / "bundle", 3)


@pytest.fixture(scope="module")
def packages(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> tuple[FunctionPackage, ...]:
    return make_packages(bundle, PackageSettings(), tmp_path_factory.mktemp("packages"), lambda _: None)


@pytest.mark.aws
@pytest.mark.parametrize("inline_bytes", [None, 0], ids=["in the state", "in the bucket"])
def test_packaged_functions_answer_as_the_model_does(
    inline_bytes: int | None,
    bundle: Bundle,
    packages: tuple[FunctionPackage, ...],
    reference: Callable[[str], Path],
    tmp_path: Path,
    aws: Aws,
    monkeypatch: pytest.MonkeyPatch,
    nothing_left: None,  # noqa: ARG001 - checked last
) -> None:
    if inline_bytes is not None:
        monkeypatch.setattr(states, "_MOST_INLINE_BYTES", inline_bytes)
    given = sample_inputs("skip")["x"]
    with serving() as s3, contextlib.ExitStack() as stack:
        s3.put("given", given.tobytes())
        functions = {}
        for package in packages:
            folder = tmp_path / package.function
            function = EmulatedFunction(package, folder, None, variables=s3.environment)
            stack.callback(function.stop)
            functions[f"demo-{package.function}"] = function
        machine = Machine(bundle, aws, partial(_invoked, functions), BUCKET)
        entry = {"name": "x", "datatype": "FP32", "shape": list(given.shape), "object": "given"}
        (output,) = machine.outputs([entry])
        wanted = run_file(reference("skip"), {"x": given})["y"].astype(np.float32)
        assert ("object" in output) == (inline_bytes == 0)
        data = s3.get(output["object"]) if "object" in output else base64.b64decode(output["data"])
        found = np.frombuffer(data, np.float32).reshape(output["shape"])
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def _invoked(
    functions: Mapping[str, EmulatedFunction], name: str, _version: str, event: Mapping[str, Any]
) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(functions[name].invoke(json.dumps(event).encode()).body)
    return found
