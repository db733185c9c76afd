"""``python -m mopar.runtime.http``."""

from mopar.runtime.http import main

main()
