"""Functions that load portable graphs need more, and what cannot be computed stays as it was measured."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mopar.planning.model.cost_model import CostModel
from mopar.planning.model.function_memory import slice_memory_mib
from mopar.planning.model.overhead import RuntimeOverhead
from mopar.planning.model.portable import loaded_portable
from mopar.planning.model.table import slice_table
from mopar.types import MemorySample, Profile
from tests.planning.strategies import profiles
from tests.profiles import FREE, MIB, PAPER, chain

OPERATORS = st.sampled_from(["Conv", "Gemm", "MatMul", "Gather", "Relu"])


@st.composite
def profiles_of_operators(draw: st.DrawFn) -> Profile:
    """Profiles whose layers have operators that pack their weights in different ways, or not at all."""
    profile = draw(profiles(most_layers=5))
    return replace(profile, layers=tuple(replace(layer, operators=(draw(OPERATORS),)) for layer in profile.layers))


@settings(max_examples=60)
@given(profiles_of_operators())
def test_the_table_is_each_slice_by_itself(profile: Profile) -> None:
    positions = [0, *(cut.index for cut in profile.cut_positions), len(profile.layers)]
    portable = loaded_portable(profile)
    table = slice_table(CostModel.of(profile, PAPER, replace(FREE, portable_graphs=True)), positions)
    for i, j in zip(*np.triu_indices(len(positions), 1), strict=True):
        start, stop = positions[i], positions[j]
        assert table.memory_mib[i, j] == pytest.approx(slice_memory_mib(portable, start, stop))


@settings(max_examples=60)
@given(profiles_of_operators(), st.floats(0.0, 500.0))
def test_what_cannot_be_computed_stays(profile: Profile, required_mib: float) -> None:
    count = len(profile.layers)
    profile = replace(profile, samples=(MemorySample(0, count, required_mib),))
    before, after = RuntimeOverhead(profile), RuntimeOverhead(loaded_portable(profile))
    assert after.of(0, count) == pytest.approx(before.of(0, count), abs=1e-6)


def test_filters_are_held_twice_in_part_and_the_largest_other_weight_while_it_is_packed() -> None:
    plain = chain(2, weight=100 * MIB)
    needs = {}
    for name in ("Relu", "Conv", "Gemm"):
        profile = replace(plain, layers=tuple(replace(layer, operators=(name,)) for layer in plain.layers))
        needs[name] = slice_memory_mib(loaded_portable(profile), 0, 2)
    assert needs["Relu"] == slice_memory_mib(plain, 0, 2)
    assert needs["Conv"] - needs["Relu"] == pytest.approx(0.55 * 200.0)
    assert needs["Gemm"] - needs["Relu"] == pytest.approx(100.0)
