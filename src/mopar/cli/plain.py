"""Texts of the command line, and output without a terminal library: what the gateway's process prints."""

import contextlib
import os
import shlex
import sys

from mopar.cli.errors import error_document, exit_code
from mopar.cli.outcome import to_stdout
from mopar.files import to_json
from mopar.types import MoparError

_RED = "\x1b[31m{}\x1b[0m"


class PlainOutput:
    """Where the gateway's output goes, in the same words as that of other verbs.

    Args:
        as_json: one JSON document on stdout instead of text.
        quiet: nothing on stderr but errors.
    """

    def __init__(self, as_json: bool, *, quiet: bool) -> None:
        self._as_json, self._quiet = as_json, quiet

    def progress(self, stage: str) -> None:
        """Show a stage that takes longer than a second."""
        if not self._quiet:
            sys.stderr.write(f"{stage} ..\n")

    def notice(self, text: str) -> None:
        """Print a note on stderr."""
        if not self._quiet:
            sys.stderr.write(note_text(text) + "\n")

    def result(self, document: object, *lines: str) -> None:
        """Print the result: ``document`` with ``--json``, else the lines."""
        with to_stdout():
            sys.stdout.write(to_json(document).decode() if self._as_json else "".join(f"{line}\n" for line in lines))

    def fail(self, error: MoparError) -> int:
        """Print an error and return its exit code."""
        if self._as_json:
            with contextlib.suppress(OSError), to_stdout():
                sys.stdout.write(to_json(error_document(error)).decode())
        text = error_text(error)
        sys.stderr.write((_RED.format(text) if _shows_colours() else text) + "\n")
        return exit_code(error)


def note_text(text: str) -> str:
    """A note as it is printed."""
    return f"note: {text}"


def error_text(error: MoparError) -> str:
    """An error as it is printed: one line."""
    return f"error: {' '.join(str(error).split())}"


def next_text(*words: str | os.PathLike[str]) -> str:
    """The command that usually comes next, ready to be copied."""
    return f"next: mopar {shlex.join(os.fspath(word) for word in words)}"


def _shows_colours() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
