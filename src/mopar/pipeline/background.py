"""A bundle served by a thread of this process, for as long as a ``with`` block lasts."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass

import uvloop

from mopar.bundle import Bundle
from mopar.gateway.arrays import Array
from mopar.gateway.client import Client
from mopar.gateway.options import ServeOptions
from mopar.gateway.token import read_token
from mopar.pipeline.serve import serving


@dataclass(frozen=True, slots=True)
class Service:
    """A model that is served.

    Attributes:
        url: of the model, for any client of the Open Inference Protocol v2.
        client: of ours, one request at a time.
    """

    url: str
    client: Client

    def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Answer one request.

        Raises:
            RequestError: the inputs do not fit the model.
            OverloadedError, DeploymentError: it was not answered.
        """
        return self.client.infer(inputs)


@contextlib.contextmanager
def serve_in_background(bundle: Bundle, options: ServeOptions) -> Iterator[Service]:
    """Start a bundle's functions and the server in front of them; both are gone when the block ends.

    Raises:
        PlatformError: the port is taken, or a function does not start.
        EngineError: ONNX Runtime refuses a graph.
    """
    started: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def main() -> None:
        stop = asyncio.Event()
        async with serving(bundle, options) as port:
            started.set_result((port, asyncio.get_running_loop(), stop))
            await stop.wait()

    def run() -> None:
        try:
            uvloop.run(main())
        except BaseException as error:  # noqa: BLE001  it is raised again where it is waited for
            if not started.done():
                started.set_exception(error)

    thread = threading.Thread(target=run, name="mopar-serve", daemon=True)
    thread.start()
    port, loop, stop = started.result()
    url = f"http://{options.host}:{port}/v2/models/{options.name or bundle.manifest.name}"
    try:
        token = None if options.token_file is None else read_token(options.token_file)
        with Client(url, timeout_s=options.deadline_s, token=token) as client:
            yield Service(url, client)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
