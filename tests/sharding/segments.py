"""The oracle of whole models: parts of any run of layers, put together, answer what the run makes in the model."""

import random
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx_ir as ir

from mopar.graph import Layer, Model, cut_positions, extract, layers_of, save_model
from mopar.nodes import name_of
from mopar.sharding import ConflictError, Part, Piece, shard_model
from mopar.sharding.outputs import layouts
from mopar.sharding.steps import candidate_steps
from tests.graph.composed import Array, assert_equal, run_file
from tests.sharding.oracle import cut

PARTS = (2, 4)
Segment = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Traced:
    """A model, where it can be cut (its ends included), and every tensor that crosses such a place in one run of it."""

    model: Model
    layers: tuple[Layer, ...]
    positions: tuple[int, ...]
    tensors: Mapping[str, Array]

    def segment(self, start: int, stop: int) -> ir.Model:
        """Layers as a model of its own."""
        return extract(self.model, start, stop, self.layers)


def traced(model: Model, feeds: Mapping[str, Array]) -> Traced:
    """Run a model once with all that crosses its cut positions as outputs."""
    layers = layers_of(model)
    cuts = cut_positions(model, layers)
    whole = extract(model, 0, len(layers), layers)
    outputs = {name_of(value) for value in whole.graph.outputs}
    crossing = {name for one in cuts for name in one.tensors} - outputs
    made = [value for node in whole.graph for value in node.outputs if value.name in crossing]
    whole.graph.outputs.extend(made)
    tensors = {**feeds, **_run(whole, feeds)}
    return Traced(model, layers, (0, *(one.index for one in cuts), len(layers)), tensors)


def single_layers(case: Traced) -> list[Segment]:
    """The shortest segments there are."""
    return list(pairwise(case.positions))


def longest_steps(case: Traced, parts: int) -> list[Segment]:
    """From each start the longest candidate step of layers that take the same time; without those inside others."""
    longest: dict[int, int] = {}
    for step in candidate_steps(case.model, case.layers, [1.0] * len(case.layers), case.positions, parts):
        longest[step.start] = max(longest.get(step.start, 0), step.stop)
    found: list[Segment] = []
    for start, stop in sorted(longest.items()):
        if not found or stop > found[-1][1]:
            found.append((start, stop))
    return found


def random_segments(case: Traced, count: int, seed: int) -> list[Segment]:
    """Segments of any length."""
    drawn = random.Random(seed)
    found = []
    for _ in range(count):
        start, stop = sorted(drawn.sample(case.positions, 2))
        found.append((start, stop))
    return found


def check_segments(case: Traced, segments: Iterable[Segment], parts: Sequence[int] = PARTS) -> int:
    """Every segment along every layout of what leaves it; how many were compared. See ``check_layout``."""
    compared = 0
    for start, stop in dict.fromkeys(segments):
        for count in parts:
            offered = layouts(case.segment(start, stop).graph.outputs, count)
            for layout in offered:
                wanted = [{name_of(value): piece for value, piece in of.items()} for of in layout.wanted]
                where = f"{case.model.name}, layers {start} to {stop}, {layout.name} in {count} parts"
                compared += check_layout(case, (start, stop), wanted, where)
    return compared


def check_layout(case: Traced, segment: Segment, wanted: Sequence[Mapping[str, Piece]], where: str) -> bool:
    """Whether the parts can be made; where they can, they answer what the segment answers.

    Each part runs alone on its pieces of what enters the segment.
    """
    given: dict[str, list[tuple[Piece, Array]]] = {}
    for index, asked in enumerate(wanted):
        if not asked:
            continue
        model = case.segment(*segment)
        try:
            taken = shard_model(model, asked, Part(index, len(wanted)))
        except ConflictError:
            return False  # as where there are fewer channels to sum over than parts
        assert not any(piece.summand for piece in taken.values()), f"{where}: a summand of an input is asked for"
        made = _run(model, {name: cut(case.tensors[name], piece) for name, piece in taken.items()})
        assert made.keys() == asked.keys(), where
        for name, piece in asked.items():
            given.setdefault(name, []).append((piece, made[name]))
    got = {name: _together(pieces) for name, pieces in given.items()}
    assert_equal(got, {name: case.tensors[name] for name in got}, where)
    return True


def _run(model: ir.Model, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Outputs by name, of a model whose weights may lie in files."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part.onnx"
        save_model(model, path)
        return run_file(path, feeds)


def _together(pieces: Sequence[tuple[Piece, Array]]) -> Array:
    """A tensor of what parts have of it, in their order."""
    first, arrays = pieces[0][0], [array for _, array in pieces]
    if first.summand:
        total: Array = np.sum([array.astype(np.float64) for array in arrays], axis=0)
        return total.astype(arrays[0].dtype)
    return arrays[0] if first.axis is None else np.concatenate(arrays, axis=first.axis)
