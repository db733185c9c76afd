"""The process of a function with an HTTP server: its arguments, its socket, and its end."""

import _signal  # type: ignore[import-not-found]  # the C module: ``signal`` imports ``enum``
import os
import sys
from _socket import AF_INET, AF_INET6, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, socket

from mopar.runtime.config import ConfigError, read_config
from mopar.runtime.engine import Engine, OrtError
from mopar.runtime.function import Function
from mopar.runtime.http.door import Door
from mopar.runtime.pinning import pin_to_cores
from mopar.runtime.privileges import give_up_privileges
from mopar.runtime.report import BROKEN, WRONG_USE, end, say_ready

TYPE_CHECKING = False  # typing costs memory
if TYPE_CHECKING:
    from mopar.runtime.graphs import MakeEngine

_USAGE = "usage: python -m mopar.runtime.http FUNCTION.json [--host H] [--port P | --listener FD] [--with-parent]"
_DEFAULT_HOST, _DEFAULT_PORT = "127.0.0.1", "8080"


class UsageError(Exception):
    """The arguments are invalid."""


class Arguments:
    """The command line: the configuration's path, and where to listen."""

    __slots__ = ("config", "host", "listener", "port", "with_parent")

    def __init__(self, words: "list[str]") -> None:
        found = {"--host": _DEFAULT_HOST, "--port": os.environ.get("PORT", _DEFAULT_PORT), "--listener": ""}
        self.with_parent = "--with-parent" in words
        rest = [word for word in words if word != "--with-parent"]
        while len(rest) > 1:
            name = rest[-2]
            if name not in found:
                raise UsageError(_USAGE)
            found[name] = rest.pop()
            rest.pop()
        if not rest or rest[0].startswith("-"):
            raise UsageError(_USAGE)
        self.config = rest[0]
        self.host = found["--host"]
        self.port, self.listener = (_number(found[name], name) for name in ("--port", "--listener"))

    def listening(self) -> socket:
        """The socket to accept connections from. Raises OSError."""
        if self.listener is not None:
            return socket(fileno=self.listener)
        made = socket(AF_INET6 if ":" in self.host else AF_INET, SOCK_STREAM)
        made.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        made.bind((self.host, self.port))
        return made


def _number(text: str, name: str) -> "int | None":
    if text and not (text.isascii() and text.isdecimal() and int(text) < 1 << 16):
        raise UsageError(f"{name} {text}: write a number")
    return int(text) if text else None


def main(make_engine: "MakeEngine" = Engine) -> None:
    """Serve the function that the first argument's file describes, until SIGTERM or Ctrl-C."""
    give_up_privileges()
    try:
        arguments = Arguments(sys.argv[1:])
        function = Function(read_config(arguments.config), make_engine)
        door = Door(function, arguments.listening(), with_parent=arguments.with_parent)
        for number in (_signal.SIGTERM, _signal.SIGINT):
            _signal.signal(number, lambda *_: door.stop())
        pin_to_cores()
        function.load()
    except (UsageError, ConfigError) as error:
        end(WRONG_USE, str(error))
    except (OrtError, OSError) as error:
        end(BROKEN, str(error))
    say_ready()
    door.serve()
    os._exit(0)
