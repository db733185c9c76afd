"""The matrices of the search agree with the definitions for each slice."""

import numpy as np
import pytest
from hypothesis import given, settings

from mopar.planning.model.boundary import slice_inputs, slice_outputs
from mopar.planning.model.calls import call_costs, cold_cache_penalty
from mopar.planning.model.cost_model import CostModel
from mopar.planning.model.function_memory import slice_memory_mib
from mopar.planning.model.table import slice_table
from mopar.planning.model.times import elapsed_ms
from mopar.planning.numbers import MIB
from mopar.planning.solve.paths import cost_to_go, weigh
from mopar.types import Graph, PlatformLimits, Profile
from tests.planning.strategies import limits, profiles
from tests.profiles import PAPER


@settings(max_examples=80)
@given(profiles(most_layers=7), limits())
def test_every_slice_as_defined(profile: Profile, limit: PlatformLimits) -> None:
    costs = call_costs(profile.runtime, limit)
    positions = [0, *(cut.index for cut in profile.cut_positions), len(profile.layers)]
    model = CostModel.of(profile, PAPER, limit)
    table = slice_table(model, positions)
    elapsed = elapsed_ms(profile)
    overhead = {cut.index: cut.overhead_ms for cut in profile.cut_positions}
    for row, start in enumerate(positions):
        for column, stop in list(enumerate(positions))[row + 1 :]:
            entering = sum(tensor.bytes for tensor in slice_inputs(profile.tensors, start, stop))
            leaving = sum(tensor.bytes for tensor in slice_outputs(profile.tensors, start, stop))
            assert table.needs.input_bytes[row, column] == entering
            assert table.needs.output_bytes[row, column] == leaving
            assert table.memory_mib[row, column] == pytest.approx(slice_memory_mib(profile, start, stop))
            names = {name for layer in profile.layers[start:stop] for name in layer.weights}
            assert table.needs.file_bytes[row, column] == sum(w.file_bytes for w in profile.weights if w.name in names)
            loading = model.loading.function_ms([Graph("", start, stop, (), ())], ())
            assert table.needs.loading_ms[row, column] == pytest.approx(loading)
            body = entering / MIB * costs.consumer.inside_ms_per_mib + leaving / MIB * costs.producer.inside_ms_per_mib
            compute = elapsed[stop] - elapsed[start] + overhead.get(start, 0.0)
            cold = cold_cache_penalty(costs, compute, elapsed[-1])
            inside = compute + cold.inside_ms + costs.inside_ms + body
            assert table.inside_ms[row, column] == pytest.approx(inside)


def test_to_go_with_the_number_of_functions_fixed() -> None:
    """Exactly two edges: the direct edge and the cheap three-edge path do not count."""
    weight = np.full((4, 4), np.inf)
    weight[0, 3], weight[0, 1], weight[1, 2], weight[2, 3], weight[1, 3] = 0.5, 1, 1, 1, 5
    to_go = cost_to_go(weight, 3)
    assert [to_go.of(count).least for count in (1, 2, 3)] == [0.5, 6, 3]
    assert to_go.of(2).path() == ((0, 0, 1), (0, 1, 3))
    assert weigh(to_go.weight, cost_to_go(weight, None).path()) == 0.5
