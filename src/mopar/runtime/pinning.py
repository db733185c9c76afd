"""The cores that a function keeps to, where its environment says so."""

import os

CORES = "MOPAR_CORES"
"""Numbers of cores, as in ``0,2``. Parallel parts of a slice should not share one while there are enough."""


def pin_to_cores() -> None:
    """Keep this process, and the threads that it will have, to its cores; without them in its environment, to any.

    Raises:
        OSError: it may not use them.
    """
    text = os.environ.get(CORES, "")
    if text:
        os.sched_setaffinity(0, [int(number) for number in text.split(",")])
