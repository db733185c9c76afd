"""Live bytes of the graph that the engine runs, for known cases."""

from collections.abc import Callable
from pathlib import Path

import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from mopar.engine.kernel_memory import KernelMemory
from mopar.engine.trace import KernelEvent
from mopar.graph import layers_of, load_model
from mopar.profiling import RunBudget, sample_inputs
from mopar.profiling.engine_runs import scratch_directory
from mopar.profiling.entries import layer_profiles
from mopar.profiling.liveness_kernels import EngineRun, kernel_live_bytes
from mopar.profiling.measure import measure


def _run(operators: list[tuple[str, list[str], str]], order: list[int], fresh: set[int]) -> dict[int, int]:
    """Live bytes of kernels that each produce a tensor of 10 floats; those in ``fresh`` allocate memory."""
    info = helper.make_tensor_value_info
    nodes = [helper.make_node(name, reads, [made], name=made) for name, reads, made in operators]
    last = operators[order[-1]][2]
    graph = helper.make_graph(nodes, "g", [info("in", TensorProto.FLOAT, [10])], [info(last, TensorProto.FLOAT, [10])])
    model = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]))
    shape = (("float", (10,)),)
    events = {i: KernelEvent(i, operators[i][2], operators[i][0], at, 1, shape, shape) for at, i in enumerate(order)}
    memory = {i: KernelMemory(40 if i in fresh else 0, 0) for i in range(len(operators))}
    return kernel_live_bytes(EngineRun(model.graph, events, memory), {"in": 40})


def test_a_kernel_that_got_no_memory_wrote_over_its_input() -> None:
    chain = [("Conv", ["in"], "a"), ("Relu", ["a"], "b"), ("Conv", ["b"], "out")]
    assert _run(chain, [0, 1, 2], fresh={0, 2}) == {0: 80, 1: 40, 2: 80}
    assert _run(chain, [0, 1, 2], fresh={0, 1, 2}) == {0: 80, 1: 80, 2: 80}


def test_a_fused_activation_does_not_write_over_its_input_even_where_it_took_an_older_buffer() -> None:
    chain = [("Conv", ["in"], "a"), ("QuickGelu", ["a"], "b"), ("Conv", ["b"], "out")]
    assert _run(chain, [0, 1, 2], fresh={0, 2}) == {0: 80, 1: 80, 2: 80}


def test_a_blocked_convolution_writes_over_the_tensor_that_it_adds() -> None:
    branches = [("Conv", ["in"], "skip"), ("Conv", ["skip"], "a"), ("Conv", ["a", "", "", "skip"], "out")]
    assert _run(branches, [0, 1, 2], fresh={0, 1}) == {0: 80, 1: 80, 2: 80}
    assert _run(branches, [0, 1, 2], fresh={0, 1, 2})[2] == 120


def test_what_lives_when_follows_the_engines_order() -> None:
    """Both branches end in the sum; the output of the first is held while the other runs."""
    branches = [
        ("Conv", ["in"], "a"),
        ("MaxPool", ["in"], "b"),
        ("Conv", ["b"], "c"),
        ("Concat", ["a", "c"], "out"),
    ]
    everything = set(range(4))
    assert _run(branches, [0, 1, 2, 3], everything) == {0: 80, 1: 120, 2: 120, 3: 120}
    assert _run(branches, [1, 2, 0, 3], everything) == {1: 80, 2: 120, 0: 120, 3: 120}


@pytest.mark.parametrize("name", ["skip", "lstm", "if_capture", "sequence", "unknown_size", "half"])
def test_every_layer_that_makes_a_tensor_holds_one(reference: Callable[[str], Path], name: str) -> None:
    """Sequences, optional outputs, bodies and sizes that depend on values must not lose live tensors."""
    model = load_model(reference(name))
    layers = layers_of(model)
    inputs, _ = sample_inputs(model.inputs)
    with scratch_directory() as directory:
        measured = measure(model, layers, inputs, directory, budget=RunBudget(0.0, 1, 1, 0))
        profiles = layer_profiles(model, layers, measured)
    assert all(profile.activation_bytes > 0 for profile in profiles)
