"""How a command ends: errors and signals become an exit code, and output that cannot be written an error."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator

from mopar.cli.signals import Signalled, ended_by_signals
from mopar.files import storage_error
from mopar.types import MoparError


def outcome(work: Callable[[], int | None], fail: Callable[[MoparError], int]) -> int:
    """Do the work of a command, and return its exit code.

    Args:
        work: returns an exit code; None for 0.
        fail: prints an error and returns its exit code.
    """
    try:
        with ended_by_signals():
            return work() or 0
    except MoparError as error:
        return fail(error)
    except BrokenPipeError:  # the reader of stdout left
        return 0
    except OSError as error:
        return fail(storage_error(error))
    except Signalled as ended:
        return ended.code


@contextlib.contextmanager
def to_stdout() -> Iterator[None]:
    """Flush what the block prints. Raises OSError naming standard output where it cannot be written."""
    try:
        yield
        sys.stdout.flush()
    except OSError as cause:
        # Discard what is still buffered: flushing it at exit would fail again.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OSError(cause.errno, cause.strerror, "standard output") from cause
