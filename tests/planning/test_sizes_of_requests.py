"""Memory holds for the largest requests of the range, latency for the measured point."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mopar.planning import plan_cuts, plan_uniform
from mopar.planning.model.cost_model import CostModel
from mopar.planning.model.function_memory import slice_memory_mib
from mopar.planning.model.table import slice_table
from mopar.types import Profile, ProfileError, SizePoint
from tests.planning.strategies import profiles
from tests.profiles import FREE, PAPER, chain


def at_times(profile: Profile, times: int) -> SizePoint:
    """The profile at sizes that are a multiple of the measured ones."""
    return SizePoint(
        shapes={spec.name: (times,) for spec in profile.inputs},
        latency_ms=None,
        memory_mib=0.0,
        tensor_bytes=tuple(times * tensor.bytes for tensor in profile.tensors),
        layer_bytes=tuple(times * (layer.activation_bytes + layer.workspace_bytes) for layer in profile.layers),
    )


def grown(profile: Profile, times: int) -> Profile:
    """As if the larger sizes had been the measured point."""
    return replace(
        profile,
        tensors=tuple(replace(one, bytes=times * one.bytes) for one in profile.tensors),
        layers=tuple(
            replace(one, activation_bytes=times * (one.activation_bytes + one.workspace_bytes), workspace_bytes=0)
            for one in profile.layers
        ),
    )


@settings(max_examples=40)
@given(profiles(most_layers=4), st.integers(1, 5))
def test_every_slice_has_the_memory_of_the_largest_and_the_time_of_the_point(profile: Profile, times: int) -> None:
    both = replace(profile, largest=at_times(profile, times))
    positions = [0, *(cut.index for cut in profile.cut_positions), len(profile.layers)]
    found, here, there = (
        slice_table(CostModel.of(one, PAPER, FREE), positions) for one in (both, profile, grown(profile, times))
    )
    upper = np.triu_indices(len(positions), 1)
    np.testing.assert_allclose(found.memory_mib[upper], there.memory_mib[upper])
    for name in ("input_bytes", "output_bytes"):
        np.testing.assert_allclose(getattr(found.needs, name)[upper], getattr(there.needs, name)[upper])
    for name in ("inside_ms", "outside_ms"):
        np.testing.assert_allclose(getattr(found, name)[upper], getattr(here, name)[upper])
    for i, j in zip(*upper, strict=True):
        assert found.memory_mib[i, j] == pytest.approx(slice_memory_mib(both, positions[i], positions[j]))


def test_a_plan_says_what_larger_requests_would_need() -> None:
    profile = replace(chain(4), beyond=at_times(chain(4), 2))
    found = plan_uniform(profile, PAPER, FREE, 2, slo_ms=None)
    assert found.beyond is not None
    assert len(found.beyond.memory_mib) == len(found.functions)
    needs = zip(found.beyond.memory_mib, found.predicted.functions, strict=True)
    assert all(more > one.memory_mib for more, one in needs)


def test_sizes_that_do_not_fit_the_profile_are_refused() -> None:
    profile = chain(3)
    with pytest.raises(ProfileError, match="not each tensor and layer at another size"):
        plan_cuts(replace(profile, largest=replace(at_times(profile, 2), layer_bytes=(1,))), PAPER, FREE, [1])
