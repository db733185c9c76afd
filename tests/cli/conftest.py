"""Results of the verbs for a small but complete model, made once for all tests of the command line."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.cli.harness import Pipeline, Place, mopar, snapshot


@pytest.fixture(scope="session")
def made(
    tmp_path_factory: pytest.TempPathFactory, reference: Callable[[str], Path], new_cache: Callable[[Path], Path]
) -> Pipeline:
    """Two towers, profiled, cut where they are joined, and built as two functions."""
    work, model = tmp_path_factory.mktemp("verbs"), reference("towers")
    cache = new_cache(work / "cache")
    profiled = mopar("profile", model, "-o", work / "profile.json", "--json", cache=cache)
    assert profiled.code == 0, profiled.stderr
    positions = [cut["index"] for cut in profiled.document["cut_positions"]]
    cut = str(positions[len(positions) // 2])
    plan = mopar("plan", work / "profile.json", "--cuts", cut, "-o", work / "plan.json", cache=cache)
    assert plan.code == 0, plan.stderr
    built = mopar("build", model, work / "plan.json", "-o", work / "bundle", cache=cache)
    assert built.code == 0, built.stderr
    rng = np.random.default_rng(5)
    values = {"user": rng.standard_normal((1, 16)), "item": rng.standard_normal((1, 24))}
    np.savez(work / "in.npz", allow_pickle=False, **{name: value.astype(np.float32) for name, value in values.items()})
    return Pipeline(work, model, profiled)


@pytest.fixture
def place(made: Pipeline, tmp_path: Path) -> Iterator[Place]:
    """The files of the pipeline, and an empty folder; checks that the former are unchanged afterwards."""
    before = snapshot(made.work, but=made.cache)
    yield Place(made.work, made.model, made.profiled, tmp_path)
    assert snapshot(made.work, but=made.cache) == before
