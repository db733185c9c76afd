"""The command line: one file per verb; each parses, calls the library, and prints."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    try:
        # Imported here, so that Ctrl-C meanwhile ends as cleanly as later.
        from mopar.cli.app import run_app

        run_app(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
