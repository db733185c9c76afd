"""What ends a command from outside: Ctrl-C and its like."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

_SHELLS_BASE = 128


class Signalled(KeyboardInterrupt):
    """A signal ends the command, which puts everything away. Its argument is the signal's number.

    Ctrl-C has it too. The interpreter remembers a plain KeyboardInterrupt that leaves code made from a string,
    which is where a named tuple comes from while a library is imported, and although it was caught ends
    ``python -m mopar`` by SIGINT in place of the exit code.
    """

    @property
    def code(self) -> int:
        """The exit code, as shells have it: 128 and the signal's number."""
        return _SHELLS_BASE + int(self.args[0])


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP end the block by ``Signalled``; those that are ignored stay ignored."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise Signalled(number)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    heard = [number for number, handler in before.items() if handler != signal.SIG_IGN]  # nohup ignores SIGHUP
    for number in heard:
        signal.signal(number, end)
    try:
        yield
    except Exception as error:
        # Whatever it is: a library that was being imported, or called back, may have made an error of its own of the
        # signal. Others pass as they came.
        ended = _behind(error)
        if ended is None:
            raise
        raise ended from None
    finally:
        for number in heard:
            signal.signal(number, before[number])


def _behind(error: BaseException | None) -> Signalled | None:
    """The signal that an error comes from, if it does."""
    while error is not None and not isinstance(error, Signalled):
        error = error.__cause__ or error.__context__
    return error
