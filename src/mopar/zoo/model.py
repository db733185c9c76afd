"""The types of catalogue entries."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mopar.types import TensorSpec

Category = Literal["cnn", "rnn", "transformer", "recommendation", "graph"]


@dataclass(frozen=True, slots=True)
class Normal:
    """Floats from N(0, std), like standardised pixels and features."""

    std: float = 1.0


@dataclass(frozen=True, slots=True)
class Integers:
    """Integers from 0 to ``below``, exclusive: token ids, rows of a table."""

    below: int


@dataclass(frozen=True, slots=True)
class Mask:
    """Attention masks: ones, with zeros (padding) at the end of each row; their number is the seed modulo 8."""


@dataclass(frozen=True, slots=True)
class Words:
    """Bags of words: in each row ``count`` elements are ``1 / count``, all others 0."""

    count: int


Values = Normal | Integers | Mask | Words


@dataclass(frozen=True, slots=True)
class ZooInput:
    """An input of a model.

    Attributes:
        spec: its declaration in the ONNX file.
        values: the distribution of sample values.
    """

    spec: TensorSpec
    values: Values


@dataclass(frozen=True, slots=True)
class Built:
    """A model that is captured from PyTorch.

    Attributes:
        builder: ``MODULE:FUNCTION`` below ``mopar.zoo``; the function has no parameters and returns the module.
    """

    builder: str


@dataclass(frozen=True, slots=True)
class Shipped:
    """An ONNX file from a package, copied unchanged.

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
        name: its name on the command line.
        category: kind of model.
        parameters: number of parameters, a shared weight once; index tables and shape constants are not included.
        weight_bytes: bytes of all weights in the ONNX file, a shared weight once.
        source: where the architecture and the weights come from.
        origin: how its ONNX file is made.
        inputs: inputs of a request.
        outputs: outputs of a request.
        trained: whether its weights are trained; else they are random and prepared.
        in_mean: whether it is one of the twelve models over which means are taken.
        sizes: size of each symbolic dimension in a sample.
        packages: PyPI packages that its export needs besides the extra ``zoo``.
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
