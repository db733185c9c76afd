"""A secret that a server and its clients share."""

import os
import stat
from pathlib import Path

from mopar.types import UsageError

_MOST_BYTES = 4096
_OTHERS = stat.S_IRWXO | stat.S_IWGRP


class Token:
    """A bearer token, which is never shown in logs or tracebacks."""

    __slots__ = ("_secret",)

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def __repr__(self) -> str:
        return "Token(...)"

    def header(self) -> str:
        """The value of the header ``Authorization`` with this token."""
        return f"Bearer {self._secret}"

    def admits(self, header: str | None) -> bool:
        """Whether a header ``Authorization`` has this token; the time that it takes depends on lengths only."""
        import hmac  # with hashlib, which no gateway without a token needs

        scheme, _, secret = (header or "").partition(" ")
        return hmac.compare_digest(secret.strip().encode(), self._secret.encode()) and scheme.lower() == "bearer"


def read_token(path: Path) -> Token:
    """The token in a file of one line that other users cannot read.

    Raises:
        UsageError: the file is no regular one, can be read by others, or holds no token.
    """
    try:
        # Without O_NONBLOCK, opening a FIFO would block.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as cause:
        raise UsageError(f"token file {path}: {cause.strerror}") from cause
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"token file {path} is no regular file")
        if status.st_mode & _OTHERS:
            raise UsageError(f"token file {path} is open to other users: chmod 600 it")
        secret = os.read(descriptor, _MOST_BYTES + 1).strip()
    finally:
        os.close(descriptor)
    if not secret or len(secret) > _MOST_BYTES or any(not 0x21 <= byte <= 0x7E for byte in secret):
        raise UsageError(f"token file {path} must hold one line of up to {_MOST_BYTES} printable ASCII characters")
    return Token(secret.decode("ascii"))
