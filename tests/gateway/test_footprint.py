"""A request's shared memory is computed before anything is allocated, and compared with limits."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import uvloop
from onnx import TensorProto

from mopar.bundle.call_plans import call_plans
from mopar.gateway.arrays import from_array
from mopar.gateway.budget import MemoryBudget
from mopar.gateway.executor import Executor
from mopar.gateway.footprint import Footprint
from mopar.gateway.options import ServeOptions
from mopar.gateway.starving import Starving
from mopar.pipeline.serve import memory_budget
from mopar.platforms.local import Arena, LocalDeployment
from mopar.platforms.local.foreseen import Foreseen
from mopar.platforms.local.places import Places
from mopar.types import OutOfMemoryError, RequestError, TensorValue
from tests.bundle.plans import built
from tests.models import sample_inputs
from tests.models.builder import Builder

SLACK_BYTES = 4096
PATIENCE_S = 20.0


@pytest.mark.parametrize("name", ["mlp", "skip", "towers", "shared_weights", "conv_chain", "multi_output", "half"])
def test_it_is_what_the_places_take(reference: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    """All places of a request, assigned one after the other as when it runs."""
    manifest = built(reference(name), tmp_path / "b", 3).manifest
    plans = call_plans(manifest)
    values = {key: from_array(key, value) for key, value in sample_inputs(name).items()}
    arena, needed = Arena(), Footprint(plans).bytes_of(values)
    places = Places(arena, {}, Foreseen(set()))
    places.accept(values, needed, {})
    for plan in plans:
        places.frame(plan)
    used = arena._used
    assert used <= needed <= used + SLACK_BYTES + 64 * len(places.tensors)
    assert len(arena.segments) == 1
    arena.close()


def wide(path: Path) -> Path:
    """``ids`` of two free dimensions become two numbers for each row."""
    g = Builder("wide")
    ids = g.input("ids", ["batch", "seq"], TensorProto.INT64)
    rows = g.add("ReduceSum", g.add("Cast", ids, to=TensorProto.FLOAT), g.ints(1), keepdims=1)
    g.add("Tanh", g.add("MatMul", rows, g.weight(1, 2)), output="y")
    g.output("y", ["batch", 2])
    g.save(path)
    return path


def empty(*shape: int) -> dict[str, TensorValue]:
    return {"ids": TensorValue("ids", "int64", shape, b"")}


def test_a_few_bytes_cannot_ask_for_all_of_the_memory(tmp_path: Path) -> None:
    """An empty input whose output exceeds the machine's memory: it is refused, and nothing is allocated or kept."""
    bundle = built(wide(tmp_path / "wide.onnx"), tmp_path / "b", 2)
    budget = memory_budget(bundle.manifest, ServeOptions(max_memory_mib=64))

    async def main() -> None:
        async with LocalDeployment(bundle, limits=False) as deployment:
            executor = Executor(bundle.manifest, deployment.transport(), budget=budget)
            for shape in ((70368744177664, 0), (1 << 27, 0), (1 << 40, 0)):
                with pytest.raises(RequestError, match="one request may take") as refused:
                    async with executor.infer(empty(*shape), None, PATIENCE_S):
                        pass
                assert refused.value.status == 413
                assert budget.held == 0
            value = from_array("ids", np.ones((3, 4), np.int64))
            async with executor.infer({"ids": value}, None, PATIENCE_S) as answer:
                assert answer.outputs[0].shape == (3, 2)
            await executor.close()
            assert budget.held == 0

    uvloop.run(main())


def test_sizes_that_killed_a_function_wait_before_they_are_tried_again() -> None:
    starving = Starving()
    starving.check(empty(3, 4))
    starving.note(empty(3, 4), "function f0 ran out of memory at its limit of 40 MiB and was killed; not tried again")
    with pytest.raises(OutOfMemoryError, match=r"limit of 40 MiB .*; requests of these sizes are tried again in 5 s"):
        starving.check(empty(3, 4))
    starving.check(empty(3, 5))
    starving.note(empty(3, 4), "again")
    with pytest.raises(OutOfMemoryError, match="again in 10 s"):
        starving.check(empty(3, 4))


def test_a_budget_holds_the_largest_planned_request() -> None:
    budget = MemoryBudget(1 << 20, 1 << 21)
    budget.check(1 << 20)
    with pytest.raises(RequestError):
        budget.check((1 << 20) + 1)
