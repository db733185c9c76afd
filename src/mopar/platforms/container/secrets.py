"""The gateway's token: it goes through a pipe into a volume that the gateway alone has, read-only.

A file of the user's, which others must not read, could not be read by the container's user either.
"""

import stat
from pathlib import Path

from mopar.files import read_bounded
from mopar.platforms.container.engine import Engine
from mopar.platforms.container.images.paths import SECRETS, TOKEN
from mopar.platforms.container.images.python import PYTHON
from mopar.platforms.container.layout import Layout
from mopar.platforms.container.planning import secrets_volumes
from mopar.platforms.container.specs import ContainerSpec, Mount
from mopar.types import UsageError

_MOST_BYTES = 4096
_OTHERS = stat.S_IRWXO | stat.S_IWGRP
_WRITE = """
import os, sys
token = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
os.write(token, os.read(0, 4096))
"""


def read_token(path: Path) -> bytes:
    """The contents of a token file; the gateway checks the token itself.

    Raises:
        UsageError: it cannot be read, or others can read it.
    """
    try:
        if path.stat().st_mode & _OTHERS:
            raise UsageError(f"token file {path} is open to other users: chmod 600 it")
        return read_bounded(path, _MOST_BYTES)
    except OSError as cause:
        raise UsageError(f"token file {path}: {cause.strerror}") from cause


def feed_token(engine: Engine, layout: Layout, image: str, token: bytes) -> None:
    """Write a token to a release's volume, by a container that ends then.

    Args:
        engine: that has the volume.
        layout: of the release.
        image: the gateway's.
        token: the file's contents.

    Raises:
        PlatformError: the engine refused.
    """
    spec = ContainerSpec(
        name=layout.member("secret-writer"),
        image=image,
        labels=layout.labels,
        network="none",
        command=(PYTHON, "-I", "-S", "-B", "-c", _WRITE, TOKEN),
        mounts=tuple(Mount(volume, SECRETS) for volume in secrets_volumes(layout)),
        restarts=False,
    )
    engine.feed(spec, token)
