"""Memory that kernels allocate, parsed from the engine's own statistics."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mopar.engine.kernel_memory import KernelMemory, kernel_memory
from mopar.engine.kernels import Kernel
from mopar.graph import layers_of, load_model
from mopar.profiling import RunBudget, sample_inputs
from mopar.profiling.engine_runs import scratch_directory
from mopar.profiling.entries import layer_profiles
from mopar.profiling.measure import measure
from mopar.types import EngineError

HEADER = "#name,input_sizes,initializers_sizes,total_dynamic_sizes,total_temp_allocations\n"


def test_each_kernel_gets_what_its_name_took(tmp_path: Path) -> None:
    """Names contain commas and underscores, several nodes may share one, and nameless nodes go by their operator."""
    file = tmp_path / "memory.csv"
    file.write_text(f"{HEADER}a,b_1_77,1,2,3,40\na,b_1_78,1,2,4,30\nConv_5,1,2,0,60\n")
    kernels = [Kernel("x", "Add", ()), Kernel("a,b_1", "Gemm", ()), Kernel("", "Conv", ())]
    assert kernel_memory(file, kernels) == {1: KernelMemory(4, 40), 2: KernelMemory(0, 60)}


def test_another_form_is_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "memory.csv"
    file.write_text("name;bytes\n")
    with pytest.raises(EngineError, match=r"memory\.csv: not memory statistics"):
        kernel_memory(file, [])


def test_an_lstm_works_on_more_than_its_tensors(reference: Callable[[str], Path]) -> None:
    """An LSTM needs at least gates of 6 steps, 4 x 16 units, two directions in float32; a Transpose needs nothing."""
    model = load_model(reference("lstm"))
    layers = layers_of(model)
    inputs, _ = sample_inputs(model.inputs)
    with scratch_directory() as directory:
        quick = RunBudget(seconds=0.0, min_runs=1, max_runs=1, warm_runs=0)
        found = layer_profiles(model, layers, measure(model, layers, inputs, directory, budget=quick))
    sizes = {operator: layer.workspace_bytes for layer in found for operator in layer.operators}
    assert sizes["LSTM"] >= 6 * 4 * 16 * 2 * 4
    assert sizes["Transpose"] == 0
