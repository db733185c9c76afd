"""A profile has the engine's part and the functions' part, assembled once and cached until something changes."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from mopar.files import cache_directory
from mopar.gateway.arrays import Array
from mopar.graph import Model, load_model
from mopar.pipeline import profile as composing
from mopar.pipeline.profile import profile_model
from mopar.profiling import FunctionMemory, RunBudget, cache
from mopar.profiling.document import read_profile, write_profile
from mopar.types import MachineLoad, MemorySample, Profile, RuntimeCosts

QUICK = RunBudget(seconds=0.0, min_runs=5, max_runs=5, warm_runs=1)
COSTS = RuntimeCosts(base_mib=45.0, hop_ms=0.1, hop_billed_ms=0.05, wire_ms_per_mib=0.1, init_ms=100.0)


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, tuple[int, ...]]]:
    """Record, without starting a function, the shapes at which memory would be measured, one list per profile."""
    recorded: list[dict[str, tuple[int, ...]]] = []

    def memory(
        _model: Model, profile: Profile, inputs: Mapping[str, Array], _progress: Callable[[str, float], None]
    ) -> FunctionMemory:
        assert profile.runtime == COSTS
        recorded.append({name: value.shape for name, value in inputs.items()})
        return FunctionMemory(64.0, 120.0, (MemorySample(0, len(profile.layers), 64.0),))

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(composing, "function_memory", memory)
    monkeypatch.setattr(composing, "runtime_costs", lambda **_options: COSTS)
    return recorded


def test_memory_is_measured_at_the_largest_size(
    reference: Callable[[str], Path], measured: list[dict[str, tuple[int, ...]]]
) -> None:
    profile = profile_model(load_model(reference("symbolic")), shapes={"x": "1..2..8x1..5..40x16"}, budget=QUICK)
    assert measured == [{"x": (8, 40, 16)}]
    assert profile.tensors[0].shape == (2, 5, 16)
    assert (profile.whole.memory_mib, profile.whole.init_ms, profile.runtime) == (64.0, 120.0, COSTS)
    assert [sample.required_mib for sample in profile.samples] == [64.0]


def test_a_profile_measured_before_is_given_back_until_something_changes(
    reference: Callable[[str], Path], measured: list[dict[str, tuple[int, ...]]]
) -> None:
    model = load_model(reference("symbolic"))
    first = profile_model(model, shapes={"x": (2, 5, 16)}, budget=QUICK)
    assert profile_model(model, shapes={"x": (2, 5, 16)}, budget=QUICK) == first
    assert len(measured) == 1
    profile_model(model, shapes={"x": (2, 6, 16)}, budget=QUICK)
    profile_model(model, shapes={"x": (2, 5, 16)}, seed=1, budget=QUICK)
    profile_model(model, shapes={"x": "2x1..5..8x16"}, budget=QUICK)
    profile_model(model, shapes={"x": (2, 5, 16)}, budget=QUICK, use_cache=False)
    assert len(measured) == 5


def test_what_was_kept_is_measured_again_where_it_is_damaged_or_the_machine_was_busy_then_alone(
    reference: Callable[[str], Path],
    measured: list[dict[str, tuple[int, ...]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = load_model(reference("mlp"))
    profile = profile_model(model, budget=QUICK)
    (kept,) = (cache_directory() / "profiles").iterdir()
    kept.write_bytes(kept.read_bytes()[:100])
    profile_model(model, budget=QUICK)
    assert len(measured) == 2
    assert read_profile(kept).model == profile.model
    write_profile(kept, replace(profile, load=MachineLoad(others_busy=1.0)))
    for busy, count in ((True, 2), (False, 3)):
        monkeypatch.setattr(cache, "busy_now", lambda busy=busy: busy)
        profile_model(model, budget=QUICK)
        assert len(measured) == count
