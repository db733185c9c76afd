"""Tools of blocks: a graph under construction, a random generator, and tensors with shapes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tests.models.builder import Builder

_AXES_ARE_INPUTS = 18
"""Opset from which on reductions other than ReduceSum take their axes as an input."""

Dim = int | str
Array = NDArray[np.generic]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor by name; a named dimension is known only at the request."""

    name: str
    dims: tuple[Dim, ...]

    @property
    def width(self) -> int:
        """Elements along the last axis."""
        return size(self.dims[-1])


@dataclass(frozen=True, slots=True)
class Input:
    """An input of a drawn model.

    Attributes:
        name: of the input.
        dims: its shape.
        below: integers from 0 to this, exclusive; 0 for normal floats, 1 for floats that are 0 or 1.
    """

    name: str
    dims: tuple[Dim, ...]
    below: int = 0

    def value(self, sizes: dict[str, int], random: np.random.Generator) -> Array:
        """A random value for these sizes of the named dimensions."""
        shape = [sizes[dim] if isinstance(dim, str) else dim for dim in self.dims]
        if self.below > 1:
            return random.integers(0, self.below, shape)
        if self.below == 1:
            return random.integers(0, 2, shape).astype(np.float32)
        return random.standard_normal(shape).astype(np.float32)


class Drawing(Builder):
    """A graph under construction; all of it follows from the seed."""

    def __init__(self, seed: int) -> None:
        super().__init__(f"drawn{seed}", seed)
        self.choices = np.random.default_rng([seed, 1])
        self.given: list[Input] = []
        self.kept: list[Tensor] = []
        self.opset = self.pick(self.opset, self.opset, 17, 15)
        self.blocks: list[str] = []

    def chance(self, share: float = 0.5) -> bool:
        """True with this probability."""
        return bool(self.choices.random() < share)

    def pick(self, *options: T) -> T:
        """One of several."""
        return options[int(self.choices.integers(len(options)))]

    def number(self, least: int, most: int) -> int:
        """An integer, both ends included."""
        return int(self.choices.integers(least, most + 1))

    def ask(self, stem: str, dims: Sequence[Dim], below: int = 0) -> Tensor:
        """Add an input."""
        name = f"{stem}{len(self.given)}"
        self.given.append(Input(name, tuple(dims), below))
        self.input(name, dims, TensorProto.INT64 if below > 1 else TensorProto.FLOAT)
        return Tensor(name, tuple(dims))

    def op(self, operator: str, *inputs: Tensor | str, dims: Sequence[Dim] | None = None, **attributes: Any) -> Tensor:
        """Add a node whose output has the first input's shape, or the given one."""
        names = [one if isinstance(one, str) else one.name for one in inputs]
        if dims is None:
            assert isinstance(inputs[0], Tensor)
            dims = inputs[0].dims
        return Tensor(self.add(operator, *names, **attributes), tuple(dims))

    def ops(
        self, operator: str, inputs: Sequence[Tensor | str], dims: Sequence[Sequence[Dim]], **attributes: Any
    ) -> list[Tensor]:
        """Add a node of several outputs."""
        names = [one if isinstance(one, str) else one.name for one in inputs]
        stem = f"{operator.lower()}_{len(self.nodes)}"
        made = [f"{stem}_{number}" for number in range(len(dims))]
        self.nodes.append(helper.make_node(operator, names, made, name=f"n_{stem}", **attributes))
        return [Tensor(name, tuple(shape)) for name, shape in zip(made, dims, strict=True)]

    def floats(self, *shape: int, fan_in: int = 1) -> str:
        """A weight of normal floats, divided by the root of the number of summed elements."""
        return self.value((self.random.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32))

    def gains(self, *shape: int) -> str:
        """A weight around 1."""
        return self.value((1 + 0.2 * self.random.standard_normal(shape)).astype(np.float32))

    def scalar(self, value: float) -> str:
        """A float32 constant without axes."""
        return self.value(np.float32(value))

    def reduced(self, operator: str, x: Tensor, axes: Sequence[int], dims: Sequence[Dim], keepdims: int) -> Tensor:
        """A reduction; its axes are an attribute in older opsets."""
        if self.opset < _AXES_ARE_INPUTS and operator != "ReduceSum":
            return self.op(operator, x, dims=dims, axes=list(axes), keepdims=keepdims)
        return self.op(operator, x, self.ints(*axes), dims=dims, keepdims=keepdims)

    def reshape(self, x: Tensor, dims: Sequence[Dim]) -> Tensor:
        """Reshape to dims that keep named ones in place, or have one that follows from the rest."""
        named = [axis for axis, dim in enumerate(dims) if isinstance(dim, str)]
        kept = [axis for axis in named if axis < len(x.dims) and x.dims[axis] == dims[axis]]
        target = [0 if axis in kept else -1 if axis in named else dim for axis, dim in enumerate(dims)]
        if target.count(-1) > 1 or (named and self.chance(0.25)):
            return self.op("Reshape", x, self._shape(x, dims), dims=dims)
        if not named and self.chance(0.3):
            target[self.number(0, len(target) - 1)] = -1
        return self.op("Reshape", x, self.ints(*(size(dim) for dim in target)), dims=dims)

    def back(self, name: str, like: Tensor, dims: Sequence[Dim]) -> Tensor:
        """Reshape to the number of axes and the shape of ``like``, except for the last axis."""
        return Tensor(self.add("Reshape", name, self._shape(like, dims)), tuple(dims))

    def symbols_of(self, name: str) -> bool:
        """Whether an input has a dimension of that name."""
        return any(name in one.dims for one in self.given)

    def transpose(self, x: Tensor, *order: int) -> Tensor:
        """With axes in another order."""
        return self.op("Transpose", x, dims=[x.dims[axis] for axis in order], perm=list(order))

    def cut(self, x: Tensor, axis: int, start: int, stop: int, step: int = 1) -> Tensor:
        """A Slice along one axis; its bounds may count from the end."""
        whole = size(x.dims[axis])
        count = len(range(start, stop, step)) if step > 0 else len(range(start, stop if stop >= 0 else -1, step))
        ends = stop if step > 0 else (stop if stop >= 0 else -(1 << 31))
        if step > 0 and stop == whole and self.chance():
            ends = (1 << 63) - 1
        elif step > 0 and self.chance(0.3):
            start, ends = start - whole, (stop - whole or (1 << 31))
        named = axis - len(x.dims) if self.chance(0.3) else axis
        lists = [self.ints(start), self.ints(ends), self.ints(named), *([self.ints(step)] if step != 1 else [])]
        return self.op("Slice", x, *lists, dims=[*x.dims[:axis], count, *x.dims[axis + 1 :]])

    def split(self, x: Tensor, axis: int, sizes: Sequence[int]) -> list[Tensor]:
        """In pieces, by a Split or by Slices."""
        if self.chance(0.3):
            ends = np.cumsum(sizes).tolist()
            return [self.cut(x, axis, end - one, end) for one, end in zip(sizes, ends, strict=True)]
        dims = [[*x.dims[:axis], one, *x.dims[axis + 1 :]] for one in sizes]
        return self.ops("Split", [x, self.ints(*sizes)], dims, axis=axis)

    def concat(self, parts: Sequence[Tensor], axis: int) -> Tensor:
        """Concatenate along an axis."""
        total = sum(size(one.dims[axis]) for one in parts)
        first = parts[0].dims
        return self.op("Concat", *parts, dims=[*first[:axis], total, *first[axis + 1 :]], axis=axis)

    def _shape(self, x: Tensor, dims: Sequence[Dim]) -> str:
        """A target that is computed from the shape of ``x``, as exporters write it."""
        shape = self.add("Shape", x.name)
        pieces = []
        for dim in dims:
            if isinstance(dim, str):
                axis = x.dims.index(dim)
                pieces.append(self.add("Gather", shape, self.ints(axis), axis=0))
            else:
                pieces.append(self.ints(dim))
        return self.add("Concat", *pieces, axis=0)

    def finished(self, outputs: Sequence[Tensor]) -> onnx.ModelProto:
        """The checked model."""
        for one in outputs:
            self.output(one.name, one.dims)
        return self.model()


def size(dim: Dim) -> int:
    """A dimension with a known size."""
    assert isinstance(dim, int), f"{dim} is known at the request only"
    return dim


def parts_of(drawing: Drawing, whole: int, count: int) -> list[int]:
    """``count`` sizes of at least 1, which add up to ``whole``."""
    ends = sorted(drawing.choices.choice(np.arange(1, whole), count - 1, replace=False).tolist()) if count > 1 else []
    return [after - before for before, after in pairwise([0, *ends, whole])]
