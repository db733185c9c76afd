"""Work on large bodies, done beside the event loop."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from mopar.runtime.trim import trim_heap

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

THREADS = 1
"""More would not be quicker: they share the interpreter's lock, and the event loop would wait for each in turn."""
_QUIET_S = 1.0


class Aside:
    """A thread for what would hold up the event loop; what finds it busy waits.

    Large bodies leave pages behind that the allocator keeps. They are given back once none has come for a second, so
    that steady traffic finds its pages again.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, "mopar-body")
        self._loop = asyncio.get_running_loop()
        self._used_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """End the thread; what has not begun is dropped."""
        if self._timer is not None:
            self._timer.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def trim_soon(self) -> None:
        """Give memory back, once no large body has come for a while."""
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
        """Call a function on a thread.

        Cancelled, it returns only once the thread has left the function, whose arguments may be views of memory that
        the caller is about to give away.
        """
        begun = self._pool.submit(function, *args, **kwargs)
        result = asyncio.wrap_future(begun)
        try:
            return await asyncio.shield(result)
        except asyncio.CancelledError:
            if not begun.cancel():
                await asyncio.wait([result])
                result.exception()  # nobody is left to be told of it
            raise
        finally:
            # A future holds its exception, whose traceback holds this frame and with it the arguments.
            del begun, result, args, kwargs
            self.trim_soon()


@contextlib.contextmanager
def large_bodies() -> Iterator[Aside]:
    """A thread for as long as a block lasts."""
    aside = Aside()
    try:
        yield aside
    finally:
        aside.close()
