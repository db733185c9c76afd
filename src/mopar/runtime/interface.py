"""What a worker asks of an engine. For type checkers alone: ``typing`` would cost every function memory."""

from typing import Protocol

from mopar.runtime.engine import Tensor


class AnyResults(Protocol):
    """The outputs of one run; see ``Results``."""

    def describe(self, index: int) -> Tensor:
        """Type, shape, address and size of an output."""

    def copy(self, index: int, address: int) -> None:
        """Copy an output to ``address``."""

    def close(self) -> None:
        """Let go of the outputs."""


class AnySession(Protocol):
    """A loaded graph; see ``Session``."""

    def run(self, inputs: list[Tensor], outputs: list[Tensor | None]) -> AnyResults:
        """Run once; outputs that are given a place go there."""


class AnyEngine(Protocol):
    """Loads graphs; see ``Engine``."""

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
