"""A function that gateways connect to: it loads its graphs, then answers the frames of one gateway after the other.

    python -m mopar.runtime.listening FUNCTION.json SOCKET

SOCKET is the path of its SOCK_SEQPACKET socket, in a folder that containers of one machine share. It is there once all
graphs are loaded. A gateway that connects is first told what the function serves (HELLO); where another one is served
already, it waits. SIGTERM ends the function once the running call is answered. The form of the configuration is in
``mopar.runtime.config``.
"""

import _signal  # type: ignore[import-not-found]  # the C module: ``signal`` imports ``enum``
import os
import sys
from _socket import AF_UNIX, SOCK_SEQPACKET, socket

from mopar.runtime import frames
from mopar.runtime.config import Config, ConfigError, read_config
from mopar.runtime.engine import Engine, OrtError
from mopar.runtime.pinning import pin_to_cores
from mopar.runtime.privileges import give_up_privileges
from mopar.runtime.report import BROKEN, WRONG_USE, end, say_ready
from mopar.runtime.worker import Worker, serve

TYPE_CHECKING = False  # typing costs memory
if TYPE_CHECKING:
    from mopar.runtime.graphs import MakeEngine

_USAGE = "usage: python -m mopar.runtime.listening FUNCTION.json SOCKET"
_MOST_WAITING = 4
"""Gateways: one that is replaced and its successor, and some room."""


def main(make_engine: "MakeEngine" = Engine) -> None:
    """Serve the function that the first argument's file describes, at the second argument's path, until SIGTERM."""
    give_up_privileges()
    worker = Worker(make_engine)
    for number in (_signal.SIGTERM, _signal.SIGINT):
        _signal.signal(number, lambda *_: worker.stop())
    try:
        if len(sys.argv) != 3:
            end(WRONG_USE, _USAGE)
        config = read_config(sys.argv[1])
        pin_to_cores()
        worker.load(config)
        listener = _listening(sys.argv[2])
    except ConfigError as error:
        end(WRONG_USE, str(error))
    except (OrtError, OSError) as error:
        end(BROKEN, str(error))
    say_ready()
    hello = _hello(config)
    while True:
        connection = socket(fileno=listener._accept()[0])  # type: ignore[attr-defined]  # noqa: SLF001 - the C type has no other
        try:
            connection.send(hello)
            serve(connection, worker)
        except OSError:
            pass  # the gateway has ended
        worker.forget_gateway()
        connection.close()


def _listening(path: str) -> socket:
    """The socket at a path, in place of an earlier process's."""
    if os.path.exists(path):  # noqa: PTH110 - pathlib costs every function 1 MiB
        os.unlink(path)  # noqa: PTH108 - the same
    listener = socket(AF_UNIX, SOCK_SEQPACKET)
    listener.bind(path)
    listener.listen(_MOST_WAITING)
    return listener


def _hello(config: Config) -> bytes:
    return frames.pack_hello(config.function, [(graph.id, graph.digest) for graph in config.graphs])
