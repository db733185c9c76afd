"""Changes that can be taken back as a whole, and steps of a removal, which are the same."""

from collections.abc import Callable

from mopar.platforms.aws_lambda.errors import NotFoundError
from mopar.types import MoparError


class Changes:
    """What was made or changed, and how to take it back."""

    def __init__(self) -> None:
        self._done: list[tuple[str, Callable[[], object]]] = []

    def note(self, what: str, take_back: Callable[[], object]) -> None:
        """Note a change before it is made: one that is refused may be half-made."""
        self._done.append((what, take_back))

    def names(self) -> tuple[str, ...]:
        """What was noted, the last one first."""
        return tuple(what for what, _ in reversed(self._done))

    def take_back(self) -> tuple[str, ...]:
        """Take all changes back, the last one first; names of what is not as it was."""
        left = []
        for what, take_back in reversed(self._done):
            try:
                take_back()
            except NotFoundError:  # it was refused, or is gone already
                continue
            except MoparError:
                left.append(what)
        return tuple(left)
