"""``python -m mopar``: the command line."""

from mopar.cli import main

main()
