"""The command line: one file per verb; each parses, calls the library, and prints."""

import sys

from mopar.cli.signals import Signalled, ended_by_signals

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    try:
        with ended_by_signals():
            # Imported here, so that Ctrl-C during the import is handled as well.
            from mopar.cli.app import run_app

            run_app(sys.argv[1:])
    except Signalled as ended:
        sys.exit(ended.code)
