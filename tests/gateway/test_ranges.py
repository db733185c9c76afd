"""A bundle serves every size of its range, and refuses others before a function is killed for memory."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import uvloop

from mopar.bundle import Bundle, build, open_bundle
from mopar.gateway.arrays import from_array, to_array
from mopar.gateway.executor import Executor
from mopar.pipeline.profile import predict_model
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.platforms.local import LocalDeployment
from mopar.types import RequestError
from tests.graph.composed import assert_equal, run_file
from tests.models.builder import Builder

SMALL, LARGE = 16, 4096
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of 32 numbers become rows of 2,048 inside: 32 MiB of tensors at ``LARGE``."""
    g = Builder("wide")
    x = g.input("x", ["rows", 32])
    inner = g.add("Tanh", g.linear(x, 32, 2048))
    g.add("Softmax", g.linear(inner, 2048, 4), axis=1, output="y")
    g.output("y", ["rows", 4])
    path = tmp_path_factory.mktemp("wide") / "wide.onnx"
    g.save(path)
    return path


def built(path: Path, folder: Path, shape: str) -> Bundle:
    model, profile = predict_model(path, shapes={"x": shape})
    build(model, make_plan(profile, PlanOptions(uniform=2, slo_ms=None)), folder)
    return open_bundle(folder)


def rows(count: int) -> np.ndarray:
    return np.random.default_rng(count).standard_normal((count, 32)).astype(np.float32)


async def answers(bundle: Bundle, counts: list[int], expect: Callable[[int], str | None], path: Path) -> None:
    """Send requests of so many rows, one after the other; ``expect`` is the text of a refusal, None for an output."""
    async with LocalDeployment(bundle) as deployment:
        executor = Executor(bundle.manifest, deployment.transport(), limited=deployment.limited)
        pids = {name: function.pid for name, function in deployment.functions.items()}
        for count in counts:
            feeds, message = {"x": rows(count)}, expect(count)
            values = {name: from_array(name, value) for name, value in feeds.items()}
            if message is not None:
                with pytest.raises(RequestError, match=message):
                    async with executor.infer(values, None, PATIENCE_S):
                        pass
                continue
            async with executor.infer(values, None, PATIENCE_S) as answer:
                got = {value.name: to_array(value).copy() for value in answer.outputs}
            assert_equal(got, run_file(path, feeds), f"{count} rows")
        assert {name: function.pid for name, function in deployment.functions.items()} == pids
        await executor.close()


@pytest.mark.cgroup
def test_every_size_of_a_stated_range_is_answered(wide: Path, tmp_path: Path) -> None:
    bundle = built(wide, tmp_path / "b", f"1..{SMALL}..{LARGE}x32")
    limits = [function.memory_mib for function in bundle.manifest.plan.functions]
    point = [function.memory_mib for function in built(wide, tmp_path / "p", f"{SMALL}x32").manifest.plan.functions]
    assert sum(limits) > sum(point) + 32

    def expect(count: int) -> str | None:
        return None if count <= LARGE else rf"planned for x=1..{LARGE}x32: .* --input x=1..{LARGE + 1}x32$"

    uvloop.run(answers(bundle, [1, SMALL, LARGE, LARGE + 1, 7], expect, wide))


@pytest.mark.cgroup
def test_sizes_beyond_a_point_are_refused_with_what_widens_it(wide: Path, tmp_path: Path) -> None:
    bundle = built(wide, tmp_path / "b", f"{SMALL}x32")
    beyond = bundle.manifest.plan.beyond
    assert beyond is not None
    assert beyond.shapes == {"x": (2 * SMALL, 32)}

    def expect(count: int) -> str | None:
        return None if count <= SMALL else rf"x of at most {SMALL}x32: .* --input x=1..{count}x32$"

    uvloop.run(answers(bundle, [1, LARGE, SMALL, 0], expect, wide))
