"""What both ends of a message agree on (its form is in ``envelope.py``)."""

MOST_BODY_BYTES = 6_291_556
"""Of a message, by Lambda's limit of synchronous calls; the runtime interface emulator cuts off what is longer."""
MOST_S = 900
"""Of a call, in seconds."""
REFUSED, MEMORY, FAILED = "refused", "memory", "failed"
"""Kinds of errors: the request's fault, too little memory, and anything else."""


def encoded_bytes(nbytes: int) -> int:
    """How long the base64 text of so many bytes is."""
    return (nbytes + 2) // 3 * 4
