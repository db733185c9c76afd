"""Output of the verbs: results on stdout, progress and errors on stderr."""

import contextlib
import errno
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import typer
from rich import box
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from mopar.cli.errors import error_document, exit_code
from mopar.cli.outcome import outcome, to_stdout
from mopar.cli.plain import error_text, next_text, note_text
from mopar.files import to_json
from mopar.types import MoparError

Document = TypeVar("Document")

_SLOW_S = 1.0
_LONG_S = 100.0
_TOLD_SHARE = 0.05
"""Smallest completed share from which the time left is estimated."""


class _Console(Console):
    """Rich's console, with broken pipes left to ``run``."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


class _TimeLeft:
    """Estimates the time left from the completed share and its duration; a share that falls starts a new estimate."""

    def __init__(self) -> None:
        self._began = (0.0, time.monotonic())
        self._share = 0.0

    def text(self, share: float) -> str:
        """The estimate as text, such as ``, about 40 s left``; empty where too little is done for one."""
        now = time.monotonic()
        if share < self._share:
            self._began = (share, now)
        self._share = share
        first, since = self._began
        if share - first < _TOLD_SHARE or now - since < _SLOW_S:
            return ""
        left_s = (now - since) * (1 - share) / (share - first)
        return f", about {left_s / 60:.0f} min left" if left_s > _LONG_S else f", about {left_s:.0f} s left"


class Output:
    """Where a verb's output goes.

    Args:
        as_json: one JSON document on stdout instead of text.
        quiet: nothing on stderr but errors.
    """

    def __init__(self, as_json: bool, *, quiet: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self._left = _TimeLeft()
        # On a terminal lines are broken between words; in a pipe they are not broken.
        # Markup is off: ":x:" or "[red]" in a user's names must be printed as they are.
        self._stdout = _Console(soft_wrap=not sys.stdout.isatty(), emoji=False, markup=False)
        self._stderr = _Console(stderr=True, soft_wrap=not sys.stderr.isatty(), emoji=False, markup=False)
        self._status: Status | None = None
        self._stage = ""
        self._started = time.monotonic()
        self._said = self._started

    def progress(self, stage: str, share: float | None = None) -> None:
        """Show the current stage once it takes longer than a second, with an estimate of the time left."""
        if self.quiet:
            return
        text = stage if share is None else f"{stage} ({share:.0%}{self._left.text(share)})"
        if self._stderr.is_terminal:
            if self._status is None:
                self._status = self._stderr.status(Text(text))
                self._status.start()
            self._status.update(Text(text))
            return
        now = time.monotonic()
        if stage != self._stage and now - self._started > _SLOW_S and now - self._said > _SLOW_S:
            self._said = now
            self._stderr.print(f"{text} ..", highlight=False)
        self._stage = stage

    def step(self, line: str) -> None:
        """Show progress without a completed share."""
        self.progress(line, None)

    def notice(self, text: str) -> None:
        """Print a note on stderr."""
        if self.quiet:
            return
        self._stderr.print(note_text(text), highlight=False, markup=False)

    def result(
        self, document: Document, render: Callable[[Console], None], encode: Callable[[Document], bytes] = to_json
    ) -> None:
        """Print the result: ``document`` with ``--json``, as ``encode`` writes it, else what ``render`` writes."""
        self.done()
        with to_stdout():
            if self.as_json:
                sys.stdout.write(encode(document).decode())
            else:
                render(self._stdout)

    def text(self, render: Callable[[Console], None]) -> None:
        """Print something before the result, unless the result is JSON."""
        self.done()
        if not self.as_json:
            with to_stdout():
                render(self._stdout)

    def done(self) -> None:
        """Remove the progress line."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def fail(self, error: MoparError) -> int:
        """Print an error and return its exit code."""
        self.done()
        if self.as_json:
            with contextlib.suppress(OSError), to_stdout():
                sys.stdout.write(to_json(error_document(error)).decode())
        self._stderr.print(error_text(error), style="red", highlight=False, markup=False)
        return exit_code(error)


def run(as_json: bool, verb: Callable[[Output], int | None], *, quiet: bool = False) -> None:
    """Run a verb and exit: errors become one line and an exit code, signals end it cleanly."""
    output = Output(as_json, quiet=quiet)
    code = outcome(lambda: verb(output), output.fail)
    output.done()
    if code:
        raise typer.Exit(code)


def say_next(console: Console, *words: str | os.PathLike[str]) -> None:
    """Print the command that usually comes next, ready to be copied."""
    console.print(next_text(*words), highlight=False, markup=False, soft_wrap=True)


def table(title: str | None, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table whose columns are right-aligned, except the first; a column's name may have two lines."""
    drawn = Table(title=title, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        drawn.add_column(column, justify="left" if number == 0 else "right", overflow="fold")
    for row in rows:
        drawn.add_row(*row)
    return drawn
