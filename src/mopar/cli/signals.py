"""Signals that end a command: SIGINT, SIGTERM and SIGHUP."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

_SHELLS_BASE = 128


class Signalled(KeyboardInterrupt):
    """Raised by a signal that ends the command after clean-up. Its argument is the signal's number.

    Ctrl-C raises it too instead of a plain KeyboardInterrupt: where one of those leaves code compiled from a string
    (a named tuple that is made while a library is imported), the interpreter remembers it even after it was caught,
    and ends ``python -m mopar`` by SIGINT instead of the exit code.
    """

    @property
    def code(self) -> int:
        """The exit code by the shells' convention: 128 plus the signal's number."""
        return _SHELLS_BASE + int(self.args[0])


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Raise ``Signalled`` in the block on SIGINT, SIGTERM or SIGHUP; ignored signals stay ignored."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise Signalled(number)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    heard = [number for number, handler in before.items() if handler != signal.SIG_IGN]  # nohup ignores SIGHUP
    for number in heard:
        signal.signal(number, end)
    try:
        yield
    except Exception as error:
        # Any class: a library that was being imported, or a callback, may have turned the signal into an error of its
        # own. Other errors are raised unchanged.
        ended = _behind(error)
        if ended is None:
            raise
        raise ended from None
    finally:
        for number in heard:
            signal.signal(number, before[number])


def _behind(error: BaseException | None) -> Signalled | None:
    """The signal among an error's causes; None where there is none."""
    while error is not None and not isinstance(error, Signalled):
        error = error.__cause__ or error.__context__
    return error
