"""Shared memory without names, which no dying process can leak.

A segment is a ``memfd``: private to the processes that have its descriptor, and freed by the kernel with the last of
them. The gateway allocates its pages at once, so that they are not charged to the limits of workers; required memory
counts them (docs/measuring.md).
"""

import contextlib
import errno
import mmap
import os

from mopar.segments import SharedSegment
from mopar.types import DeploymentError


def page_aligned(size: int) -> int:
    """Bytes up to a whole page: what a segment of that size takes."""
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


class Segment(SharedSegment):
    """``size`` bytes that workers can map. ``view`` is the gateway's own mapping.

    Raises:
        DeploymentError: the machine has no memory left for it.
    """

    def __init__(self, size: int) -> None:
        size = page_aligned(size)
        descriptor = os.memfd_create("mopar", os.MFD_CLOEXEC)
        try:
            os.posix_fallocate(descriptor, 0, size)
            self._memory = mmap.mmap(descriptor, size)
        except OSError as cause:
            os.close(descriptor)
            if cause.errno in {errno.ENOMEM, errno.ENOSPC}:
                raise DeploymentError(f"no memory left for a segment of {size} bytes") from cause
            raise
        super().__init__(descriptor, size)
        self.view = memoryview(self._memory)

    def close(self) -> None:
        """Release it; the memory is freed once no worker and no view uses it."""
        super().close()
        with contextlib.suppress(BufferError):  # a reply still reads from it: the mapping goes with its last view
            self.view.release()
            self._memory.close()
