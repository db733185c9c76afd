"""Lazy import of torch, and context managers that restore its global state."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from mopar.types import MoparError, UsageError

if TYPE_CHECKING:
    import torch

_CHATTY = ("torch", "onnxscript", "onnx_ir")


def require_torch() -> None:
    """Check that torch can be imported. Raises UsageError where it cannot."""
    try:
        import torch  # noqa: F401
    except ImportError as cause:
        raise UsageError(
            f'PyTorch cannot be imported ({cause}); install it with: pip install "mopar[torch]"'
        ) from cause


class TranslatedErrors:
    """A context manager that turns any exception of third-party code into a one-line error.

    A user's module and torch's exporter may raise any class of exception, so there is no list of them; ``MoparError``
    and interrupts pass through unchanged.

    Args:
        what: what failed; the message continues with the first line of the cause.
        error: the class to raise.
    """

    def __init__(self, what: str, error: type[MoparError]) -> None:
        self._what = what
        self._error = error

    def __enter__(self) -> None:
        """Nothing to set up."""

    def __exit__(self, kind: type[BaseException] | None, raised: BaseException | None, _: TracebackType | None) -> None:
        """Raise ``error`` from what was raised."""
        if isinstance(raised, Exception) and not isinstance(raised, MoparError):
            raise self._error(f"{self._what}: {first_line(raised)}") from raised


def first_line(error: BaseException) -> str:
    """Class and first line of the innermost cause, which exporters wrap in long messages.

    The second line is included where the first ends in a colon.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    shown = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])
    return f"{type(error).__name__}: {shown}" if shown else type(error).__name__


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings, log records and output of torch's exporter."""
    loggers = [logging.getLogger(name) for name in _CHATTY]
    disabled = [logger.disabled for logger in loggers]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        sink = io.StringIO()
        with warnings.catch_warnings(), contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level, was_disabled in zip(loggers, levels, disabled, strict=True):
            logger.setLevel(level)
            logger.disabled = was_disabled


@contextlib.contextmanager
def evaluating(module: "torch.nn.Module") -> Iterator[None]:
    """Put every submodule in evaluation mode (no dropout, fixed batch norms), and restore their modes at the end."""
    training = [(part, part.training) for part in module.modules()]
    try:
        module.eval()
        yield
    finally:
        for part, flag in training:
            part.training = flag


@contextlib.contextmanager
def unchanged_state() -> Iterator[None]:
    """Disable gradients, and restore the state of the CPU's random generator at the end."""
    import torch

    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        yield
