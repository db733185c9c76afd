"""Random models: an input, a few blocks of one family with others between them, one output or several."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from tests.models.drawn import attention, convolution, dense, recurrent, shuffles, tables, unusual
from tests.models.drawn.drawing import Array, Dim, Drawing, Input, Tensor

Block = Callable[[Drawing, Tensor], Tensor]
_ON_ROWS = (*dense.BLOCKS, *shuffles.BLOCKS, *unusual.BLOCKS)
_OTHERS = 2
"""Sizes at which a model with free dimensions is compared, besides the profiled ones."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A drawn model.

    Attributes:
        seed: determines the model.
        family: of its blocks.
        blocks: their names, in order.
        model: the graph.
        inputs: of it.
        points: sizes of the free dimensions: where it is profiled, and others.
    """

    seed: int
    family: str
    blocks: tuple[str, ...]
    model: onnx.ModelProto
    inputs: tuple[Input, ...]
    points: tuple[dict[str, int], ...]

    def values(self, point: dict[str, int]) -> dict[str, Array]:
        """A request of these sizes."""
        random = np.random.default_rng([self.seed, 2, *point.values()])
        return {one.name: one.value(point, random) for one in self.inputs}


def draw(seed: int) -> Drawn:
    """The model of a seed."""
    d = Drawing(seed)
    family = FAMILIES[int(d.choices.integers(len(FAMILIES)))]
    d.constants = d.chance(0.08)
    outputs = family(d)
    symbols = sorted({dim for one in d.given for dim in one.dims if isinstance(dim, str)})
    points = [{name: d.number(2, 7) for name in symbols} for _ in range(1 + _OTHERS)] if symbols else [{}]
    return Drawn(seed, family.__name__.strip("_"), tuple(d.blocks), d.finished(outputs), tuple(d.given), tuple(points))


def _through(d: Drawing, x: Tensor, blocks: Sequence[Block], count: int, kept: list[Tensor]) -> Tensor:
    """A few blocks, one after the other; outputs of some of them become outputs of the model."""
    for _ in range(count):
        block = d.pick(*blocks)
        d.blocks.append(block.__name__)
        x = block(d, x)
        if d.chance(0.08):
            kept.append(x)
    return x


def _answers(d: Drawing, x: Tensor, kept: Sequence[Tensor]) -> list[Tensor]:
    """The model's outputs: a head's, and intermediate ones; each is produced by a node and listed once."""
    x = dense.linear(d, x, d.number(2, 9))
    x = d.op("Softmax", x, axis=-1) if d.chance(0.3) else x
    made = {name for node in d.nodes for name in node.output}
    found = {one.name: one for one in (*kept, *d.kept, x) if one.name in made}
    return list(found.values())


def _batch(d: Drawing) -> Dim:
    return "batch" if d.chance(0.35) else d.pick(1, 1, 2, 3)


def _rows(d: Drawing) -> Dim:
    return "rows" if d.chance(0.3) else d.number(4, 12)


def _perceptron(d: Drawing) -> list[Tensor]:
    kept: list[Tensor] = []
    x = d.ask("x", (_batch(d), d.number(4, 24)))
    x = _through(d, x, _ON_ROWS, d.number(2, 5), kept)
    return _answers(d, x, kept)


def _towers(d: Drawing) -> list[Tensor]:
    """Inputs with separate towers, which are joined."""
    kept: list[Tensor] = []
    batch = _batch(d)
    sides = [d.ask("x", (batch, d.number(4, 20))) for _ in range(d.number(2, 3))]
    made = [_through(d, side, (dense.layer, dense.residual, dense.towers), d.number(1, 3), kept) for side in sides]
    how = d.pick("Concat", "Mul", "Add")
    if how == "Concat":
        x = d.concat(made, 1)
    else:
        width = d.number(4, 16)
        joined = [dense.linear(d, one, width) for one in made]
        x = joined[0]
        for one in joined[1:]:
            x = d.op(how, x, one)
    return _answers(d, _through(d, x, _ON_ROWS, d.number(0, 2), kept), kept)


def _sequence(d: Drawing) -> list[Tensor]:
    kept: list[Tensor] = []
    x = d.ask("x", (_batch(d), _rows(d), d.number(4, 20)))
    x = _through(d, x, _ON_ROWS, d.number(2, 4), kept)
    return _answers(d, shuffles.first_row(d, x) if d.chance(0.4) else x, kept)


def _attention(d: Drawing) -> list[Tensor]:
    kept: list[Tensor] = []
    batch, rows = _batch(d), _rows(d)
    x = tables.tokens(d, batch, rows) if d.chance() else d.ask("x", (batch, rows, d.number(4, 20)))
    x = _through(d, x, attention.BLOCKS, d.number(1, 2), kept)
    x = _through(d, x, _ON_ROWS, d.number(0, 1), kept)
    return _answers(d, shuffles.first_row(d, x) if d.chance(0.3) else x, kept)


def _unusual(d: Drawing) -> list[Tensor]:
    kept: list[Tensor] = []
    batch, rows = _batch(d), _rows(d)
    x = unusual.places(d, batch, rows) if d.chance(0.4) else d.ask("x", (batch, rows, d.number(4, 16)))
    x = _through(d, x, unusual.BLOCKS, d.number(2, 4), kept)
    return _answers(d, shuffles.first_row(d, x) if d.chance(0.3) else x, kept)


def _paired(d: Drawing) -> list[Tensor]:
    """Two towers of equal width, and the cosine between all pairs of their rows."""
    kept: list[Tensor] = []
    width, ends = d.number(4, 16), []
    for _ in range(2):
        x = d.ask("x", (d.number(2, 5), d.number(4, 16)))
        x = dense.linear(d, _through(d, x, (dense.layer, dense.residual, dense.towers), d.number(1, 2), kept), width)
        length = d.reduced("ReduceL2", x, [1], (x.dims[0], 1), 1)
        ends.append(d.op("Div", x, length))
    left, right = ends
    turned = d.transpose(right, 1, 0)
    return [*kept, d.op("MatMul", left, turned, dims=(left.dims[0], right.dims[0]))]


def _recurrent(d: Drawing) -> list[Tensor]:
    kept: list[Tensor] = []
    batch, rows = _batch(d), _rows(d)
    x = tables.tokens(d, batch, rows) if d.chance(0.4) else d.ask("x", (batch, rows, d.number(4, 16)))
    x = _through(d, x, _ON_ROWS, d.number(0, 1), kept)
    x = _through(d, x, (recurrent.recurrent,), d.number(1, 2), kept)
    x = recurrent.last_state(d, x) if d.chance(0.4) else _through(d, x, _ON_ROWS, d.number(0, 2), kept)
    return _answers(d, x, kept)


def _gathered(d: Drawing) -> list[Tensor]:
    kept: list[Tensor] = []
    batch = _batch(d)
    how = d.pick("features", "tied", "bag")
    d.blocks.append(how)
    if how == "features":
        x = tables.features(d, batch)
    elif how == "bag":
        x = tables.bag(d, batch)
    else:
        x = tables.tied(d, batch, _rows(d))
    return _answers(d, _through(d, x, _ON_ROWS, d.number(1, 3), kept), kept)


def _images(d: Drawing) -> list[Tensor]:
    kept: list[Tensor] = []
    x = d.ask("image", (_batch(d), d.number(1, 6), d.number(5, 14), d.number(5, 14)))
    x = _through(d, x, convolution.BLOCKS, d.number(2, 4), kept)
    return _heads_of(d, x, kept)


def _hourglass(d: Drawing) -> list[Tensor]:
    kept: list[Tensor] = []
    side = d.pick(8, 12, 16)
    x = d.ask("image", (_batch(d), d.number(1, 4), side, d.pick(8, 12)))
    x = convolution.hourglass(d, convolution.hourglass(d, x) if d.chance() else x)
    x = _through(d, x, convolution.BLOCKS, d.number(0, 1), kept)
    return [*kept, convolution.conv(d, x, d.number(2, 5), 1)]


def _volumes(d: Drawing) -> list[Tensor]:
    kept: list[Tensor] = []
    x = d.ask("video", (_batch(d), d.number(1, 4), d.number(3, 6), d.number(4, 8), d.number(4, 8)))
    x = _through(d, x, convolution.VOLUME_BLOCKS, d.number(1, 3), kept)
    return _heads_of(d, x, kept)


def _waves(d: Drawing) -> list[Tensor]:
    kept: list[Tensor] = []
    x = d.ask("wave", (_batch(d), d.number(1, 5), d.number(8, 24)))
    x = _through(d, x, convolution.WAVE_BLOCKS, d.number(2, 4), kept)
    return _heads_of(d, x, kept)


def _vision(d: Drawing) -> list[Tensor]:
    """Convolutions, then attention over the places, perhaps back to an image."""
    kept: list[Tensor] = []
    x = d.ask("image", (_batch(d), d.number(1, 4), d.pick(6, 8), d.pick(6, 8)))
    x = _through(d, x, convolution.BLOCKS, d.number(0, 1), kept)
    x = dense.activated(d, convolution.conv(d, x, d.number(4, 12), 3, 2))
    image = x
    rows = _through(d, convolution.to_rows(d, x), attention.BLOCKS[:4], d.number(1, 2), kept)
    if rows.width == image.dims[1] and d.chance():
        back = d.reshape(d.transpose(rows, 0, 2, 1), image.dims)
        joined = d.concat([image, back], 1)
        return _heads_of(d, dense.activated(d, convolution.conv(d, joined, d.number(3, 8), 3)), kept)
    return _answers(d, shuffles.first_row(d, rows) if d.chance() else rows, kept)


def _heads_of(d: Drawing, x: Tensor, kept: list[Tensor]) -> list[Tensor]:
    if d.chance(0.3):
        return [
            *{one.name: one for one in (*kept, dense.activated(d, convolution.conv(d, x, d.number(2, 6), 1)))}.values()
        ]
    return _answers(d, convolution.pooled_to_flat(d, x), kept)


FAMILIES = (
    _perceptron,
    _towers,
    _sequence,
    _attention,
    _attention,
    _unusual,
    _unusual,
    _paired,
    _recurrent,
    _gathered,
    _images,
    _images,
    _hourglass,
    _volumes,
    _waves,
    _vision,
)
