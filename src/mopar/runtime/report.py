"""What a function reports on standard output: that it is ready, or in one line why it failed."""

import os

TYPE_CHECKING = False  # typing costs memory
if TYPE_CHECKING:
    from typing import NoReturn

READY = "ready"
"""Written once all graphs are loaded."""
FAILED = "failed: "
WRONG_USE, BROKEN = 2, 1


def say_ready() -> None:
    """Report that all graphs are loaded."""
    _say(READY)


def end(status: int, text: str) -> "NoReturn":
    """End this process with a status and the reason."""
    _say(FAILED + " ".join(text.split()))
    os._exit(status)


def _say(text: str) -> None:
    """Write a line to standard output, which may have been closed."""
    try:
        os.write(1, f"{text}\n".encode())
    except OSError:
        return
