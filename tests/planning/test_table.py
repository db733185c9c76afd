"""What the search looks up in its matrices is what the definitions say of each slice."""

import numpy as np
import pytest
from hypothesis import given, settings

from mopar.planning.arithmetic import MIB, call_costs, elapsed_ms, found_cold_ms
from mopar.planning.boundary import slice_inputs, slice_outputs
from mopar.planning.memory import slice_memory_mib
from mopar.planning.paths import to_go, weigh
from mopar.planning.table import slice_table
from mopar.types import PlatformLimits, Profile
from tests.planning.strategies import limits, profiles


@settings(max_examples=80)
@given(profiles(most_layers=7), limits())
def test_every_slice_as_defined(profile: Profile, limit: PlatformLimits) -> None:
    costs = call_costs(profile, limit)
    positions = [0, *(cut.index for cut in profile.cut_positions), len(profile.layers)]
    table = slice_table(profile, costs, positions)
    elapsed = elapsed_ms(profile)
    overhead = {cut.index: cut.overhead_ms for cut in profile.cut_positions}
    for row, start in enumerate(positions):
        for column, stop in list(enumerate(positions))[row + 1 :]:
            entering = sum(tensor.bytes for tensor in slice_inputs(profile, start, stop))
            leaving = sum(tensor.bytes for tensor in slice_outputs(profile, start, stop))
            assert table.input_bytes[row, column] == entering
            assert table.output_bytes[row, column] == leaving
            assert table.memory_mib[row, column] == pytest.approx(slice_memory_mib(profile, start, stop))
            names = {name for layer in profile.layers[start:stop] for name in layer.weights}
            assert table.file_bytes[row, column] == sum(w.file_bytes for w in profile.weights if w.name in names)
            body = (entering + leaving) / MIB * costs.inside_ms_per_mib
            compute = elapsed[stop] - elapsed[start] + overhead.get(start, 0.0)
            cold, _ = found_cold_ms(costs, compute, elapsed[-1])
            inside = compute + cold + costs.inside_ms + body
            assert table.inside_ms[row, column] == pytest.approx(inside)


def test_to_go_with_the_number_of_functions_fixed() -> None:
    """Exactly two edges: the direct edge and the cheap three-edge path do not count."""
    weight = np.full((4, 4), np.inf)
    weight[0, 3], weight[0, 1], weight[1, 2], weight[2, 3], weight[1, 3] = 0.5, 1, 1, 1, 5
    togo = to_go(weight, 3)
    assert [togo.of(count).least for count in (1, 2, 3)] == [0.5, 6, 3]
    assert togo.of(2).path() == ((0, 0, 1), (0, 1, 3))
    assert weigh(togo.weight, to_go(weight, None).path()) == 0.5
