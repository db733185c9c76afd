"""Description of an architecture: how its module is built, its inputs, and which sizes are free."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Arrays = dict[str, NDArray[np.generic]]
Sizes = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Input:
    """One input, in the order of the module's parameters.

    Attributes:
        name: in the ONNX file.
        shape: numbers, and names of free dimensions.
        below: integers are drawn from 0 to this, exclusive; None for normal floats.
    """

    name: str
    shape: tuple[int | str, ...]
    below: int | None = None


@dataclass(frozen=True, slots=True)
class Maker:
    """How to build a torch module with random weights.

    Attributes:
        function: ``FILE:FUNCTION`` of this package; the file  is imported only by the exporting process.
        arguments: plain values, so that a digest can be computed.
        options: the same, by keyword.
    """

    function: str
    arguments: tuple[Any, ...]
    options: tuple[tuple[str, Any], ...]

    def make(self) -> "torch.nn.Module":
        """Build the module."""
        file, _, name = self.function.partition(":")
        maker = getattr(importlib.import_module(f"benchmarks.architectures.{file}"), name)
        made: torch.nn.Module = maker(*self.arguments, **dict(self.options))
        return made


def made_by(function: str, *arguments: Any, **options: Any) -> Maker:
    """Make a ``Maker``, written like a call."""
    return Maker(function, arguments, tuple(options.items()))


@dataclass(frozen=True, slots=True)
class Architecture:
    """A model and the requests for it.

    Attributes:
        name: as benchmarks print it.
        maker: of the torch module.
        inputs: in the order of its parameters.
        sizes: of each free dimension, the tested ones; it is exported at the first.
        full: whether it has the published size; otherwise it is small, to be tried quickly.
    """

    name: str
    maker: Maker
    inputs: tuple[Input, ...]
    sizes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    full: bool = False

    @property
    def points(self) -> tuple[Sizes, ...]:
        """Points to test, the exported one first; each free dimension has each of its sizes at least once."""
        count = max(map(len, self.sizes.values()), default=1)
        return tuple(
            {name: sizes[number % len(sizes)] for name, sizes in self.sizes.items()} for number in range(count)
        )

    @property
    def middle(self) -> Sizes:
        """Sizes at which it is profiled."""
        return {name: sorted(sizes)[len(sizes) // 2] for name, sizes in self.sizes.items()}

    def ranges(self) -> dict[str, str]:
        """Shapes of the inputs with free dimensions, as ``--input`` takes them: smallest, profiled and largest size."""
        bounds = {name: f"{min(sizes)}..{self.middle[name]}..{max(sizes)}" for name, sizes in self.sizes.items()}
        return {
            item.name: "x".join(str(bounds.get(str(dim), dim)) for dim in item.shape)
            for item in self.inputs
            if any(isinstance(dim, str) for dim in item.shape)
        }

    def request(self, seed: int = 0, sizes: Sizes | None = None) -> Arrays:
        """Inputs from a seed, at the given sizes, or the exported ones."""
        known, random = {**self.points[0], **(sizes or {})}, np.random.default_rng(seed)
        return {
            item.name: _drawn(random, tuple(known[dim] if isinstance(dim, str) else dim for dim in item.shape), item)
            for item in self.inputs
        }


def _drawn(random: np.random.Generator, shape: tuple[int, ...], item: Input) -> NDArray[np.generic]:
    if item.below is None:
        return random.standard_normal(shape).astype(np.float32)
    return random.integers(0, item.below, shape)
