"""Changes that can be taken back as a whole."""

from collections.abc import Callable

from mopar.platforms.deploying import Tell
from mopar.types import MoparError


class Changes:
    """What was made or changed, and how to take it back.

    Args:
        tell: is told each stage.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._done: list[tuple[str, Callable[[], object]]] = []

    def note(self, what: str, take_back: Callable[[], object]) -> None:
        """Note a change before it is made: one that is refused may be half-made."""
        self._done.append((what, take_back))

    def take_back(self) -> tuple[str, ...]:
        """Take all changes back, the last one first; names of what is not as it was."""
        self._tell("taking changes back")
        left = []
        for what, take_back in reversed(self._done):
            try:
                take_back()
            except MoparError:
                left.append(what)
        return tuple(left)
