"""Plans as state machines, executed by moto's interpreter of the Amazon States Language."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from mopar.bundle import Bundle
from mopar.platforms.aws_lambda.states import Targets, state_machine
from tests.bundle.plans import built
from tests.platforms.aws_lambda.conftest import BUCKET, REGION, Aws
from tests.platforms.aws_lambda.functions import Functions, array_of, entry_of

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


class Machine:
    """A state machine of a bundle's plan, with a function for each of its own."""

    def __init__(self, bundle: Bundle, aws: Aws) -> None:
        import boto3

        self.functions = aws.functions = Functions(bundle, "demo")
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
        targets = Targets(arns, BUCKET, "mopar/demo/tensors/", "aws", 60)
        self._client = boto3.client("stepfunctions")
        self.definition = state_machine(bundle.manifest, targets).decode()
        self._arn = self._client.create_state_machine(name="demo", definition=self.definition, roleArn=role["Arn"])[
            "stateMachineArn"
        ]

    def run(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """The execution as it ended; moto has standard ones only."""
        arn = self._client.start_execution(stateMachineArn=self._arn, input=json.dumps({"inputs": inputs}))
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            found: dict[str, Any] = self._client.describe_execution(executionArn=arn["executionArn"])
            if found["status"] != "RUNNING":
                return found
            time.sleep(0.01)
        raise AssertionError("the execution does not end")


def feeds(path: Path) -> dict[str, "np.ndarray[Any, Any]"]:
    random = np.random.default_rng(1)
    session = ort.InferenceSession(str(path))
    return {item.name: random.standard_normal(item.shape).astype(np.float32) for item in session.get_inputs()}


@pytest.mark.parametrize(("name", "pieces"), [("skip", 3), ("towers", 6)])
def test_an_execution_answers_as_the_model_does(
    name: str, pieces: int, reference: Callable[[str], Path], tmp_path: Path, aws: Aws
) -> None:
    bundle = built(reference(name), tmp_path / "bundle", pieces)
    machine, given = Machine(bundle, aws), feeds(reference(name))
    result = machine.run([entry_of(spec.name, given[spec.name]) for spec in bundle.manifest.inputs])
    assert result["status"] == "SUCCEEDED", result
    outputs = json.loads(result["output"])["outputs"]
    expected = ort.InferenceSession(str(reference(name))).run(None, given)
    assert [entry["name"] for entry in outputs] == [spec.name for spec in bundle.manifest.outputs]
    for entry, value in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(array_of(entry, BUCKET), value, rtol=1e-5, atol=1e-6)
