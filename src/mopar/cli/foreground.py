"""Serving until a signal ends it: what the gateway's process runs."""

import asyncio
import gc
import signal
import sys

from mopar.cli.gateway import ServeJob
from mopar.cli.plain import PlainOutput, next_text
from mopar.pipeline.serve import serve_settled
from mopar.runtime.mapped import drop_library_pages
from mopar.runtime.trim import trim_heap, tune_heap

_SLOW_S = 1.0
SWITCH_S = 0.0001
"""After which a thread that decodes a large body makes room for the event loop: a fiftieth of Python's default, since
the loop takes the interpreter's lock several times for each answer."""


async def serve_until_signal(job: ServeJob, output: PlainOutput) -> None:
    """Serve until SIGINT or SIGTERM, then shut down cleanly.

    With ``with_parent`` also until standard input closes, which happens when the parent process ends for whatever
    reason.
    """
    tune_heap()
    sys.setswitchinterval(SWITCH_S)
    shutdown, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, shutdown.set)
    if job.with_parent:
        loop.add_reader(sys.stdin, shutdown.set)  # nothing is ever written to it: readable means closed
    slow = loop.call_later(_SLOW_S, output.progress, "starting functions")

    def ready(port: int) -> None:
        slow.cancel()
        # Objects made at start-up are permanent: each garbage collection over them would delay requests by 20 ms.
        gc.collect()
        gc.freeze()
        trim_heap()
        drop_library_pages()
        name = job.options.name or job.bundle.manifest.name
        url = f"http://{job.options.host}:{port}/v2/models/{name}"
        output.result(
            {"url": url},
            f"{name}: {len(job.bundle.manifest.plan.functions)} functions ready at {url}",
            next_text("infer", url, "--inputs", "FILE.npz", "-o", "OUT.npz"),
        )

    try:
        await serve_settled(job.bundle, job.options, shutdown, ready, output.notice)
    finally:
        slow.cancel()
