"""Work on large bodies, done beside the event loop by few threads."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

THREADS = 2


class Aside:
    """Threads for what would hold up the event loop; what finds none free waits."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, "mopar-body")

    def close(self) -> None:
        """End the threads; what has not begun is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)

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


@contextlib.contextmanager
def threads() -> Iterator[Aside]:
    """Threads for as long as a block lasts."""
    aside = Aside()
    try:
        yield aside
    finally:
        aside.close()
