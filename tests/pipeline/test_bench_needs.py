"""A baseline runs with the allocator that serves it best, and a function with the one that its bundle names."""

from pathlib import Path

import pytest

from mopar.measurement.single import chain_bundle
from mopar.pipeline.bench.configs import Config
from mopar.pipeline.bench.needs import MeasuredConfig, Needs, best_of, with_allocator
from mopar.types import EngineOptions, TensorSpec


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "g0.onnx").write_bytes(b"a graph")
    specs = tuple((TensorSpec(name, "float32", (1,)),) for name in ("x", "y"))
    return Config("ort-unsplit", chain_bundle("m", ((tmp_path / "g0.onnx",),), specs, EngineOptions()), None)


@pytest.mark.parametrize(
    ("needs_mib", "latencies_ms", "best"),
    [
        ((567.0, 414.0), (10.0, 10.19), "glibc"),  # a quarter less memory, and no slower
        ((567.0, 414.0), (10.0, 10.21), "keeping"),  # slower by more than 2%
        ((414.0, 567.0), (10.3, 10.0), "glibc"),  # the only one that is as fast as the fastest
        ((136.0, 137.0), (10.1, 10.0), "keeping"),
    ],
)
def test_least_memory_wins_among_those_that_are_fast(
    config: Config, needs_mib: tuple[float, float], latencies_ms: tuple[float, float], best: str
) -> None:
    candidates = [
        MeasuredConfig(with_allocator(config, allocator), {"f0": Needs(mib, 50.0)})
        for allocator, mib in zip(("keeping", "glibc"), needs_mib, strict=True)
    ]
    assert best_of(candidates, latencies_ms).config.bundle.manifest.allocator == best
