"""The oracle of whole models: parts of any run of layers, combined, equal that run in the model."""

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
    """A model, its cut positions (ends included), and the values of all tensors that cross them in one run."""

    model: Model
    layers: tuple[Layer, ...]
    positions: tuple[int, ...]
    tensors: Mapping[str, Array]

    def segment(self, start: int, stop: int) -> ir.Model:
        """Layers as a separate model."""
        return extract(self.model, start, stop, self.layers)


def traced(model: Model, feeds: Mapping[str, Array]) -> Traced:
    """Run a model once with all tensors that cross its cut positions as outputs."""
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
    """The shortest segments."""
    return list(pairwise(case.positions))


def longest_steps(case: Traced, parts: int) -> list[Segment]:
    """From each start the longest candidate step of layers with equal times, without those inside others."""
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
    """Check every segment with every layout of its outputs; return how many were compared. See ``check_layout``."""
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
    """Return whether the parts exist; if so, check that they compute the segment's outputs.

    Each part runs separately on its pieces of the segment's inputs.
    """
    given: dict[str, list[tuple[Piece, Array]]] = {}
    for index, requested in enumerate(wanted):
        if not requested:
            continue
        model = case.segment(*segment)
        try:
            taken = shard_model(model, requested, Part(index, len(wanted)))
        except ConflictError:
            return False  # as where there are fewer channels to sum over than parts
        assert not any(piece.summand for piece in taken.values()), f"{where}: a summand of an input is requested"
        made = _run(model, {name: cut(case.tensors[name], piece) for name, piece in taken.items()})
        assert made.keys() == requested.keys(), where
        for name, piece in requested.items():
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
    """A tensor combined from the parts' shares, in order."""
    first, arrays = pieces[0][0], [array for _, array in pieces]
    if first.summand:
        total: Array = np.sum([array.astype(np.float64) for array in arrays], axis=0)
        return total.astype(arrays[0].dtype)
    return arrays[0] if first.axis is None else np.concatenate(arrays, axis=first.axis)
