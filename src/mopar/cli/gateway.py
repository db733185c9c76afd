"""The gateway's process, which ``mopar serve`` and ``mopar up`` become once a bundle is opened and packed.

A command imports what reads models, parses options and draws on terminals. A gateway needs none of it, and no process
can return all that it has imported. So the command describes what is to be served in a document, and replaces itself by
a process that imports less (docs/decisions/gateway-memory.md): its number, its parent and its standard streams stay.
"""

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import msgspec

from mopar.bundle import Bundle
from mopar.cli.outcome import outcome
from mopar.cli.plain import PlainOutput
from mopar.gateway.options import ServeOptions

_BOOT = """
import os, sys
sys.path[:] = sys.argv.pop(1).split(os.pathsep)
from mopar.cli.gateway import main
main()
"""
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class ServeJob:
    """What to serve, and how.

    Attributes:
        bundle: settled, so that nothing about the machine has to be found out.
        options: of ``mopar serve``.
        as_json: print the address as JSON.
        quiet: print nothing on stderr but errors.
        with_parent: end when standard input closes.
    """

    bundle: Bundle
    options: ServeOptions
    as_json: bool
    quiet: bool
    with_parent: bool


def become(job: ServeJob) -> NoReturn:
    """Replace this process by the gateway's.

    Signals that would end it are held back meanwhile, so that none is lost or ends it without its exit code.
    """
    document = os.memfd_create("job.json", 0)  # inherited, and gone with the process
    with os.fdopen(os.dup(document), "wb") as file:
        file.write(msgspec.json.encode(job, enc_hook=os.fspath))
    sys.stdout.flush()
    sys.stderr.flush()
    # Modules are found where this process found them, in whatever way it was started and whatever the folder.
    arguments = [sys.executable, "-P", "-c", _BOOT, os.pathsep.join(sys.path), str(document)]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        os.execv(sys.executable, arguments)  # noqa: S606 - its arguments are all made here
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def main() -> NoReturn:
    """Serve what the descriptor, or the file, on the command line describes, and exit."""
    job = _received(sys.argv[1])
    output = PlainOutput(job.as_json, quiet=job.quiet)

    def work() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        from mopar.cli.loop import uvloop_for

        uvloop = uvloop_for(tls=_needs_tls(job))
        from mopar.cli.foreground import serve_until_signal

        uvloop.run(serve_until_signal(job, output))

    sys.exit(outcome(work, output.fail))


def _needs_tls(job: ServeJob) -> bool:
    """Whether functions are called over encrypted connections."""
    if job.options.functions is None:
        return False
    from mopar.platforms.endpoints import read_endpoints

    return read_endpoints(job.options.functions, job.bundle.manifest).needs_tls


def _received(document: str) -> ServeJob:
    if document.isdecimal():
        os.lseek(int(document), 0, os.SEEK_SET)
    with open(int(document) if document.isdecimal() else document, "rb") as file:  # noqa: PTH123 - or a descriptor
        return msgspec.json.decode(file.read(), type=ServeJob, dec_hook=_path)


def _path(kind: type, text: object) -> Path:
    assert kind is Path, f"a job holds no {kind}"
    assert isinstance(text, str), "a path is written as text"
    return Path(text)
