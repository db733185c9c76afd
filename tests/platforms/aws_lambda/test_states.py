"""Plans as state machines, executed by moto's interpreter of the Amazon States Language."""

import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import boto3
import numpy as np
import pytest

from mopar.bundle import Bundle, build, open_bundle
from mopar.gateway.arrays import Array
from mopar.graph import load_model
from mopar.platforms.aws_lambda import states
from mopar.platforms.aws_lambda.states import Targets, inline_bytes, state_machine
from mopar.types import Manifest, PlatformError, Region
from tests.bundle.plans import built
from tests.bundle.steps import stepped
from tests.bundle.test_lowering import halves_of, rows
from tests.gateway.test_exchange import GIVEN, MADE, STEPS, sample, wanted, write
from tests.graph.composed import run_file
from tests.models import sample_inputs
from tests.platforms.aws_lambda.conftest import BUCKET, REGION, Aws
from tests.platforms.aws_lambda.faults import failing
from tests.platforms.aws_lambda.functions import Functions, array_of, entry_of

PATIENCE_S = 30.0
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"Service": ["lambda.amazonaws.com", "states.amazonaws.com"]},
        }
    ],
}


Answers = Callable[[str, str, Mapping[str, Any]], dict[str, Any]]
"""What functions answer: by name, version and message."""


class Machine:
    """A state machine of a bundle's plan, with a function for each of its own."""

    def __init__(self, bundle: Bundle, aws: Aws, answers: Answers | None = None, bucket: str = BUCKET) -> None:
        self.functions = Functions(bundle, "demo")
        aws.functions = answers or self.functions
        role = boto3.client("iam").create_role(RoleName="any", AssumeRolePolicyDocument=json.dumps(_TRUST))["Role"]
        arns = {}
        for function in bundle.manifest.plan.functions:
            made = boto3.client("lambda").create_function(
                FunctionName=f"demo-{function.name}",
                Role=role["Arn"],
                PackageType="Image",
                Code={"ImageUri": f"123456789012.dkr.ecr.{REGION}.amazonaws.com/demo:1"},
                Publish=True,
            )
            arns[function.name] = f"{made['FunctionArn'].removesuffix(':1')}:1"
        targets = Targets(arns, bucket, "mopar/demo/tensors/", "aws", 60)
        self._numbers = itertools.count()
        self._client = boto3.client("stepfunctions")
        self.definition = json.loads(state_machine(bundle.manifest, targets))
        self._arn = self._client.create_state_machine(
            name="demo", definition=json.dumps(self.definition), roleArn=role["Arn"]
        )["stateMachineArn"]

    def run(self, inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The execution as it ended; moto has standard ones only."""
        arn = self._client.start_execution(
            stateMachineArn=self._arn, name=f"execution-{next(self._numbers)}", input=json.dumps({"inputs": inputs})
        )["executionArn"]
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            found: dict[str, Any] = self._client.describe_execution(executionArn=arn)
            if found["status"] != "RUNNING":
                return found
            time.sleep(0.01)
        raise AssertionError("the execution does not end")

    def outputs(self, inputs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        found = self.run(inputs)
        assert found["status"] == "SUCCEEDED", found
        outputs: list[dict[str, Any]] = json.loads(found["output"])["outputs"]
        return outputs


def entries(bundle: Bundle, given: Mapping[str, Array]) -> list[dict[str, Any]]:
    return [entry_of(spec.name, given[spec.name]) for spec in bundle.manifest.inputs]


def assert_equals(bundle: Bundle, outputs: Sequence[Mapping[str, Any]], wanted: Mapping[str, Array]) -> None:
    assert [entry["name"] for entry in outputs] == [spec.name for spec in bundle.manifest.outputs]
    for entry in outputs:
        np.testing.assert_allclose(array_of(entry, BUCKET), wanted[entry["name"]], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "pieces"), [("skip", 3), ("towers", 6), ("two_input", 4)])
def test_an_execution_answers_as_the_model_does(
    name: str, pieces: int, reference: Callable[[str], Path], tmp_path: Path, aws: Aws
) -> None:
    """Tensors of ``two_input`` are larger than a state may be."""
    bundle, given = built(reference(name), tmp_path / "bundle", pieces), sample_inputs(name)
    machine = Machine(bundle, aws)
    outputs = machine.outputs(entries(bundle, given))
    assert_equals(bundle, outputs, run_file(reference(name), given))
    keys = [item["Key"] for item in boto3.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])]
    assert bool(keys) == (name == "two_input")
    assert all(key.startswith("mopar/demo/tensors/execution-0/c") for key in keys)


@pytest.mark.parametrize("inline_bytes", [None, 0])
def test_parts_run_side_by_side(
    inline_bytes: int | None, tmp_path: Path, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And each step of theirs after all of the one before, whether tensors are in the state or in the bucket."""
    if inline_bytes is not None:
        monkeypatch.setattr(states, "_MOST_INLINE_BYTES", inline_bytes)
    bundle, given = stepped(tmp_path / "b", write, GIVEN, MADE, steps=STEPS, parts=3), sample(1, 2)
    machine = Machine(bundle, aws)
    kinds = [state["Type"] for state in machine.definition["States"].values()]
    assert kinds.count("Parallel") == STEPS
    assert_equals(bundle, machine.outputs(entries(bundle, given)), wanted(given, 3))
    functions = [name for name, _ in machine.functions.calls]
    assert [sorted(functions[step * 3 : step * 3 + 3]) for step in range(STEPS)] == [
        ["demo-f0", "demo-f1", "demo-f2"]
    ] * 3


def test_tensors_have_the_names_that_graphs_have_for_them(
    reference: Callable[[str], Path], tmp_path: Path, aws: Aws
) -> None:
    """A graph that joins tensors has other names for them than their producers."""
    bundle, given = built(reference("skip"), tmp_path / "bundle", 3), sample_inputs("skip")
    first, *others = bundle.manifest.calls
    renamed = {}
    calls, graphs = [first], []
    for call in others:
        names = {item.tensor: f"{item.tensor} of {call.id}" for item in call.inputs}
        calls.append(replace(call, inputs=tuple(replace(item, tensor=names[item.tensor]) for item in call.inputs)))
        renamed[call.graph] = names
    for graph in bundle.manifest.graphs:
        names = renamed.get(graph.id, {})
        specs = tuple(replace(spec, name=names.get(spec.name, spec.name)) for spec in graph.inputs)
        graphs.append(replace(graph, inputs=specs))
    other = replace(bundle, manifest=replace(bundle.manifest, calls=tuple(calls), graphs=tuple(graphs)))

    def answer(name: str, version: str, event: Mapping[str, Any]) -> dict[str, Any]:
        known = {new: old for names in renamed.values() for old, new in names.items()}
        asked = [entry["name"] for entry in event["inputs"]]
        assert asked == [spec.name for graph in graphs if graph.id == event["graph"] for spec in graph.inputs]
        inputs = [{**entry, "name": known.get(entry["name"], entry["name"])} for entry in event["inputs"]]
        return machine.functions(name, version, {**event, "inputs": inputs})

    machine = Machine(other, aws, answer)
    assert_equals(bundle, machine.outputs(entries(bundle, given)), run_file(reference("skip"), given))


@pytest.fixture
def chained(reference: Callable[[str], Path], tmp_path: Path, aws: Aws) -> Machine:
    return Machine(built(reference("mlp"), tmp_path / "bundle", 3), aws)


def test_inputs_in_other_places_are_refused(chained: Machine) -> None:
    for inputs in ([], [entry_of("z", sample_inputs("mlp")["x"])]):
        assert _failure(chained, inputs) == ("Mopar.WrongInputs", "inputs must be x, in this order")


def test_what_a_function_refuses_is_told_with_its_name(chained: Machine, aws: Aws) -> None:
    told = {"error": {"kind": "memory", "message": "it's {too} large"}}
    aws.functions = lambda name, version, event: told if name == "demo-f1" else chained.functions(name, version, event)
    error, cause = _failure(chained, _given())
    assert error == "Mopar.CallFailed"
    said, _, answer = cause.partition(": ")
    assert said == "function f1, call c1"
    assert json.loads(answer) == told


def test_a_function_that_dies_fails_the_execution_with_its_name(chained: Machine, aws: Aws) -> None:
    aws.errors["demo-f2"] = {"errorType": "Runtime.ExitError", "errorMessage": "signal: killed"}
    error, cause = _failure(chained, _given())
    assert error == "Mopar.CallFailed"
    assert cause.startswith("function f2, call c2: Runtime.ExitError: ")
    assert "signal: killed" in cause


@pytest.mark.parametrize(("code", "tries"), [("TooManyRequestsException", 4), ("InvalidRuntimeException", 1)])
def test_throttled_calls_are_tried_again_and_others_are_not(
    code: str, tries: int, chained: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_pause = SimpleNamespace(sleep=lambda _seconds: None)
    monkeypatch.setattr("moto.stepfunctions.parser.asl.component.common.retry.retrier_decl.time", no_pause)
    with failing("Invoke", code) as seen:
        _, cause = _failure(chained, _given())
    assert cause.startswith(f"function f0, call c0: Lambda.{code}: ")
    assert len(seen) == tries


def test_a_branch_that_fails_ends_the_execution_with_its_error(tmp_path: Path, aws: Aws) -> None:
    bundle = stepped(tmp_path / "b", write, GIVEN, MADE, steps=2, parts=2)
    machine = Machine(bundle, aws)
    aws.errors["demo-f1"] = {"errorType": "Runtime.ExitError", "errorMessage": "signal: killed"}
    error, cause = _failure(machine, entries(bundle, sample(1)))
    assert error == "Mopar.CallFailed"
    assert cause.startswith("function f1, call c1: Runtime.ExitError: ")


def test_regions_of_tensors_are_ranges_of_objects(tmp_path: Path, aws: Aws) -> None:
    """Of what was given and of what a call has made, which is stored for it however small it is."""
    fixed = rows(tmp_path / "rows.onnx", shape=("batch", 16))
    model = load_model(fixed)
    plan = halves_of(model, "middle", 0, (1, 3, 2))
    build(model, plan, tmp_path / "b")
    bundle, given = open_bundle(tmp_path / "b"), np.random.default_rng(0).standard_normal((6, 16)).astype(np.float32)
    boto3.client("s3").put_object(Bucket=BUCKET, Key="given", Body=given.tobytes())
    machine = Machine(bundle, aws)
    outputs = machine.outputs([{"name": "x", "datatype": "FP32", "shape": [6, 16], "object": "given"}])
    assert_equals(bundle, outputs, run_file(fixed, {"x": given}))


def test_regions_whose_place_is_not_known_beforehand_are_refused(
    reference: Callable[[str], Path], tmp_path: Path
) -> None:
    bundle = built(reference("mlp"), tmp_path / "bundle", 2)
    first, second = bundle.manifest.calls
    (item,) = second.inputs
    source = replace(item.sources[0], region=Region(0, 0, 1))
    calls = (first, replace(second, inputs=(replace(item, sources=(source,)),)))
    graphs = tuple(
        replace(graph, outputs=tuple(replace(spec, shape=(1, "n")) for spec in graph.outputs))
        for graph in bundle.manifest.graphs
    )
    targets = Targets({"f0": "a", "f1": "b"}, BUCKET, "p/", "aws", 60)
    with pytest.raises(PlatformError, match=r"call c1 of function f1 reads a region.*--orchestration gateway"):
        state_machine(replace(bundle.manifest, calls=calls, graphs=graphs), targets)


def test_what_is_passed_in_a_state_fits_into_it() -> None:
    manifest = SimpleNamespace(inputs=[None], calls=[SimpleNamespace(outputs=("a",) * 10)] * 20)
    largest = inline_bytes(cast("Manifest", manifest))
    assert 0 < largest * 4 / 3 * 201 < (256 << 10) - 201 * 500
    manifest.calls *= 3
    with pytest.raises(PlatformError, match=r"makes 601 tensors in a request.*hold pointers to 358"):
        inline_bytes(cast("Manifest", manifest))


def _given() -> list[dict[str, Any]]:
    return [entry_of("x", sample_inputs("mlp")["x"])]


def _failure(machine: Machine, inputs: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Error and cause of an execution that fails."""
    found = machine.run(inputs)
    assert found["status"] == "FAILED"
    return found["error"], found["cause"]
