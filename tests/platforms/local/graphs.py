"""Graphs with controllable run time and memory."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from mopar.platforms.local import GraphFile, WorkerSpec
from mopar.types import EngineOptions
from tests.models.builder import Builder
from tests.runtime.running import save

FOREVER = 1 << 62


def spin(path: Path) -> Path:
    """``y`` counts to ``n``; with ``FOREVER`` it does not return."""
    body = Builder("body")
    body.input("i", [], TensorProto.INT64)
    body.input("go_on", [], TensorProto.BOOL)
    body.input("state", [], TensorProto.INT64)
    body.add("Identity", "go_on", output="go_on_out")
    body.add("Add", "state", body.value(np.int64(1)), output="state_out")
    body.output("go_on_out", [], TensorProto.BOOL)
    body.output("state_out", [], TensorProto.INT64)
    nodes = [
        helper.make_node("Constant", [], ["start"], value_int=0),
        helper.make_node("Loop", ["n", "", "start"], ["y"], body=body.graph()),
    ]
    return save(path, nodes, [("n", "int64", ())], [("y", "int64", ())])


def allocate(path: Path, given: str = "n", made: str = "y") -> Path:
    """The output is the sum of as many ones as the input says, which are allocated first."""
    nodes = [
        helper.make_node(
            "ConstantOfShape", [given], ["ones"], value=helper.make_tensor("one", TensorProto.FLOAT, [1], [1])
        ),
        helper.make_node("ReduceSum", ["ones"], [made], keepdims=0),
    ]
    return save(path, nodes, [(given, "int64", (1,))], [(made, "float32", ())])


def repeat(path: Path, given: str, made: str, dtype: str, shape: tuple[int, ...]) -> Path:
    """The output is the input."""
    nodes = [helper.make_node("Identity", [given], [made])]
    return save(path, nodes, [(given, dtype, shape)], [(made, dtype, shape)])


def spec(path: Path, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> WorkerSpec:
    """A worker of one graph."""
    options = EngineOptions(arena=False, memory_pattern=False)
    return WorkerSpec("f0", (GraphFile(path, options, inputs, outputs),))
