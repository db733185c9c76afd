"""The Protocols of an engine as a worker uses it. For type checkers alone: ``typing`` costs every function memory."""

from typing import Protocol

from mopar.runtime.engine import Tensor
from mopar.runtime.mapped import MappedFiles


class AnyBound(Protocol):
    """A graph's inputs and outputs in memory; see ``Bound``."""

    pending: list[int]
    lasting: bool

    def run(self) -> None:
        """Run once. Raises OrtError."""

    def describe(self, index: int) -> Tensor:
        """After the run: type, shape, address and size of an output."""

    def copy(self, index: int, address: int) -> None:
        """After the run: copy an output to ``address``."""

    def close(self) -> None:
        """Release inputs and outputs."""


class AnySession(Protocol):
    """A loaded graph; see ``Session``."""

    def bind(self, inputs: list[Tensor], outputs: list[Tensor | None]) -> AnyBound:
        """The graph on these inputs; outputs with a place are written there. Raises OrtError."""


class AnyEngine(Protocol):
    """Loads graphs; see ``Engine``."""

    mapped: MappedFiles

    def load(
        self,
        path: str,
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        /,
        *,
        optimize: bool,
        prepack: bool,
        arena: bool,
        memory_pattern: bool,
    ) -> AnySession:
        """A session of the graph in ``path``. Raises OrtError."""
