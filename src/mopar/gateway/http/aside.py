"""Work on large bodies, in a thread beside the event loop."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from mopar.runtime.trim import trim_heap

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

THREADS = 1
"""More would not be faster: they share the interpreter's lock, and the event loop would compete with each of them."""
_QUIET_S = 1.0


class Aside:
    """A thread for work that would block the event loop, one task after the other.

    After large bodies, the allocator keeps freed pages. They are returned to the kernel once no large body has come for
    a second, so that steady traffic does not fault them in again.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, "mopar-body")
        self._loop = asyncio.get_running_loop()
        self._used_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """End the thread; tasks that have not started are dropped."""
        if self._timer is not None:
            self._timer.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def trim_soon(self) -> None:
        """Return freed memory to the kernel, once no large body has come for a while."""
        self._used_s = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(_QUIET_S, self._trim)

    def _trim(self) -> None:
        left_s = self._used_s + _QUIET_S - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._trim)
        else:
            self._timer = None
            self._pool.submit(trim_heap)

    async def run(
        self, function: Callable[_Arguments, _Result], *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> _Result:
        """Call a function in the thread.

        When cancelled, it still waits until the thread has left the function, whose arguments may be views of memory
        that the caller is about to release.
        """
        begun = self._pool.submit(function, *args, **kwargs)
        result = asyncio.wrap_future(begun)
        try:
            return await asyncio.shield(result)
        except asyncio.CancelledError:
            if not begun.cancel():
                await asyncio.wait([result])
                result.exception()  # marks it as retrieved: there is no caller left
            raise
        finally:
            # A future holds its exception, whose traceback holds this frame and with it the arguments.
            del begun, result, args, kwargs
            self.trim_soon()


@contextlib.contextmanager
def large_bodies() -> Iterator[Aside]:
    """A thread for large bodies, which ends with the ``with`` block."""
    aside = Aside()
    try:
        yield aside
    finally:
        aside.close()
