"""Patterns of handmade profiles with known results, and invariants of any profile."""

import itertools
import random
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopar.graph import layers_of, load_model, tensor_shapes
from mopar.profiling.patterns import change_points, patterns_of
from mopar.profiling.patterns_operators import leading_operators
from mopar.types import LayerProfile, Patterns, Profile, WeightProfile
from tests.models.builder import Builder
from tests.planning.strategies import profiles

MIB = 1 << 20


def _layers(latency_ms: Sequence[float], weights_mib: Sequence[float], live_mib: Sequence[float]) -> Patterns:
    """The patterns of layers with one weight each."""
    sizes = [round(size * MIB) for size in weights_mib]
    layers = [
        LayerProfile(i, (f"n{i}",), ("Conv",), (f"w{i}",), ms, 0.0, sizes[i], round(live_mib[i] * MIB))
        for i, ms in enumerate(latency_ms)
    ]
    weights = [WeightProfile(f"w{i}", size, size, size) for i, size in enumerate(sizes)]
    return patterns_of(layers, weights, ["Conv"] * len(layers))


def test_swing_is_that_of_the_definition_in_each_form() -> None:
    """In need 1+3, 5+1, 2+2; loaded 1+3, 6+1, 8+2; held 8+3, 8+1, 8+2 MiB."""
    found = _layers([1.0, 1.0, 1.0], [1, 5, 2], [3, 1, 2]).differences
    swings = (found.in_need, found.loaded, found.held)
    assert [swing.share for swing in swings] == pytest.approx([2 / 6, 6 / 10, 2 / 11])
    assert [(swing.most_layer, swing.least_layer) for swing in swings] == [(1, 0), (2, 0), (0, 1)]
    assert found.in_need.most_bytes == 6 * MIB


def test_layers_that_take_no_time_to_speak_of_do_not_swing() -> None:
    found = _layers([50.0, 0.5, 50.0], [1, 100, 2], [1, 1, 1]).differences
    assert (found.layers, found.least_share) == (2, 0.01)
    assert found.in_need.most_bytes == 3 * MIB


def test_many_small_layers_count_where_none_takes_a_hundredth_of_the_time() -> None:
    found = _layers([1.0] * 300, [1.0] * 299 + [3.0], [1.0] * 300).differences
    assert found.layers == 300
    assert found.time_share == pytest.approx(1.0)
    assert found.in_need.share == pytest.approx(0.5)


def test_a_shared_weight_is_loaded_once_and_needed_by_each_reader() -> None:
    layers = [LayerProfile(i, (f"n{i}",), ("Gemm",), ("w",), 1.0, 0.0, 4 * MIB, MIB) for i in range(2)]
    found = patterns_of(layers, [WeightProfile("w", 4 * MIB, 0, 0)], ["Gemm", "Gemm"])
    assert [point.in_need_bytes for point in found.timeline] == [5 * MIB] * 2
    assert [point.loaded_bytes for point in found.timeline] == [5 * MIB] * 2
    assert found.operators[0].weight_share == 1.0


def test_operators_share_out_what_their_layers_take() -> None:
    """Conv: 3 of 4 ms, at 2 MiB; Gemm: 1 ms at 6 MiB: as much memory x time."""
    layers = [
        LayerProfile(0, ("c",), ("Conv", "Relu"), ("w0",), 3.0, 0.0, MIB, MIB),
        LayerProfile(1, ("g",), ("Gemm",), ("w1",), 1.0, 0.0, 5 * MIB, MIB),
    ]
    conv, gemm = patterns_of(
        layers, [WeightProfile("w0", MIB, 0, 0), WeightProfile("w1", 5 * MIB, 0, 0)], ["Conv", "Gemm"]
    ).operators
    assert (conv.operator, conv.time_share, conv.memory_time_share, conv.dominant) == ("Conv", 0.75, 0.5, True)
    assert (gemm.time_share, gemm.memory_time_share, gemm.dominant) == (0.25, 0.5, True)
    assert conv.weight_share == pytest.approx(1 / 6)
    assert gemm.activation_share == 0.5


@given(profiles(most_layers=12), st.randoms(use_true_random=False))
def test_what_holds_of_any_profile(profile: Profile, random: random.Random) -> None:
    operators = [random.choice(["Conv", "Gemm", "Add"]) for _ in profile.layers]
    found = patterns_of(profile.layers, profile.weights, operators)
    for point, layer in zip(found.timeline, profile.layers, strict=True):
        assert point.layer == layer.index
        assert point.in_need_bytes <= point.loaded_bytes <= point.held_bytes
    edges = [0, *(run.stop for run in found.runs)]
    assert edges[-1] == len(profile.layers)
    assert [run.start for run in found.runs] == edges[:-1]
    for name in ("time_share", "memory_time_share", "weight_share", "activation_share"):
        assert sum(getattr(share, name) for share in found.operators) == pytest.approx(1.0) or not any(
            getattr(share, name) for share in found.operators
        )
    assert sum(share.layers for share in found.operators) == len(profile.layers)
    differences = found.differences
    for swing in (differences.in_need, differences.loaded, differences.held):
        assert 0.0 <= swing.share <= 1.0
    assert 1 <= differences.layers <= len(profile.layers)


def test_runs_are_found_where_time_or_memory_changes() -> None:
    """Noise of 5%; time changes at 40, memory at 70, and a view of no time is in the middle of a run."""
    noise = np.random.default_rng(0).normal(1.0, 0.05, (2, 100))
    latency = np.where(np.arange(100) < 40, 1.0, 3.0) * noise[0]
    latency[20] = 1e-4
    memory = np.where(np.arange(100) < 70, 4.0, 10.0) * noise[1]
    found = _layers(latency.tolist(), [0.0] * 100, memory.tolist()).runs
    assert [run.start for run in found] == [0, 40, 70]
    assert found[0].mean_mib == pytest.approx(4.0, rel=0.05)
    assert found[2].mean_ms == pytest.approx(3.0, rel=0.05)


def test_a_thousand_layers_take_less_than_a_third_of_a_second() -> None:
    noise = np.random.default_rng(0).normal(1.0, 0.2, (2, 1000)).clip(0.1)
    _layers([1.0], [1.0], [1.0])  # imports
    began = time.process_time()
    _layers(noise[0].tolist(), [1.0] * 1000, noise[1].tolist())
    assert time.process_time() - began < 0.3


def test_change_points_are_those_that_the_library_finds() -> None:
    from ruptures import KernelCPD

    generator = np.random.default_rng(0)
    for count in (3, 30, 300):
        means = generator.normal(0, 2, (6, 2)).repeat(count // 6 + 1, axis=0)[:count]
        features = means + generator.normal(0, 0.5, (count, 2))
        want = KernelCPD(kernel="linear", min_size=1).fit(features).predict(pen=9.0)[:-1]
        assert change_points(features, np.ones(count), 9.0) == want


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(1, 4)), min_size=1, max_size=7))
def test_change_points_with_weights_cost_no_more_than_any_others(rows: list[tuple[int, int]]) -> None:
    """Compared with all segmentations."""
    features = np.array([[float(value)] for value, _ in rows])
    importance = np.array([float(weight) for _, weight in rows])

    def cost(points: Sequence[int]) -> float:
        parts = np.split(np.arange(len(rows)), points)
        means = [np.average(features[part], axis=0, weights=importance[part]) for part in parts]
        around = sum(
            (importance[part][:, None] * (features[part] - mean) ** 2).sum()
            for part, mean in zip(parts, means, strict=True)
        )
        return float(around) + 5.0 * len(points)

    inner = range(1, len(rows))
    best = min(cost(points) for count in range(len(rows)) for points in itertools.combinations(inner, count))
    assert cost(change_points(features, importance, 5.0)) == pytest.approx(best)


def test_a_layer_counts_for_the_operator_that_does_its_work(tmp_path: Path) -> None:
    """Not the activation after it, nor a scale whose constant is larger than the product of activations."""
    graph = Builder("scores")
    image, queries = graph.input("image", (1, 3, 16, 16)), graph.input("queries", (1, 8, 32))
    graph.output(graph.conv(image, 3, 16), (1, 16, 16, 16))
    scores = graph.add("MatMul", queries, graph.add("Transpose", queries, perm=[0, 2, 1]))
    graph.output(graph.add("Mul", scores, graph.value(np.float32(0.25))), (1, 8, 8))
    graph.save(tmp_path / "scores.onnx")
    model = load_model(tmp_path / "scores.onnx")
    layers = layers_of(model)
    shapes = {"image": (1, 3, 16, 16), "queries": (1, 8, 32)} | {
        name: tuple(dim for dim in spec.shape or () if isinstance(dim, int))
        for name, spec in tensor_shapes(model).items()
    }
    leaders = dict(zip((layer.operators for layer in layers), leading_operators(model, layers, shapes), strict=True))
    assert leaders["Conv", "Relu"] == "Conv"
    assert next(leader for operators, leader in leaders.items() if "Mul" in operators) == "MatMul"
