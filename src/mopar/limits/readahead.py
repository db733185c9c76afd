"""Read-ahead: how much more than it was asked for the kernel reads from a disk."""

import os
from pathlib import Path


def read_ahead_kib(path: Path) -> int | None:
    """Read-ahead of the disk that holds ``path``, in KiB; None where the kernel does not report it."""
    device = path.stat().st_dev
    try:
        return int(Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb").read_text())
    except OSError:
        return None
