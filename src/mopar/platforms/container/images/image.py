"""An image: its layers, what runs in it, and the Containerfile that builds it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mopar.platforms.container.images.layers import Layer
from mopar.platforms.container.images.paths import CONFIG, LIBRARIES, PORT, SOURCES, USER, socket_path
from mopar.platforms.container.images.python import PYTHON
from mopar.platforms.function_process import command_of

LAYERS = "layers"
"""The folder of layers in a build context."""
_OF_BASE_IMAGE = "python3"
_HTTP, _SOCKET, _GATEWAY = "mopar.runtime.http", "mopar.runtime.listening", "mopar.cli.gateway"


@dataclass(frozen=True, slots=True)
class Image:
    """An image of a function or of the gateway.

    Attributes:
        name: of the function, or ``gateway``.
        layers: from the one that most images share to its own.
        environment: of its process.
        command: what runs unless something else is asked for.
        base: image to build upon; None for none.
        comment: for readers of the Containerfile.
        entrypoint: whether ``command`` runs whatever else is asked for, as Lambda needs it, where nothing listens.
    """

    name: str
    layers: tuple[Layer, ...]
    environment: Mapping[str, str]
    command: tuple[str, ...]
    base: str | None
    comment: str
    entrypoint: bool = False

    def containerfile(self, upon: str | None = None) -> str:
        """How podman or docker build it, in a context with its layers.

        Args:
            upon: an image of all layers but the last; by default they are copied here too.
        """
        variables = " ".join(f"{name}={value}" for name, value in sorted(self.environment.items()))
        lines = [
            f"# {' '.join(self.comment.split())}",
            f"FROM {upon or self.base or 'scratch'}",
            f"ENV {variables}",
            f"USER {USER}:{USER}",
            *([] if self.entrypoint else [f"EXPOSE {PORT}"]),
            "STOPSIGNAL SIGTERM",
            "WORKDIR /",
            f"{'ENTRYPOINT' if self.entrypoint else 'CMD'} {json.dumps(list(self.command))}",
            *map(_copy, self.layers if upon is None else self.layers[-1:]),
        ]
        return "\n".join(lines) + "\n"

    @property
    def tag(self) -> str:
        """The same for images of the same contents."""
        return tag_of(self.containerfile(), self.layers)

    @property
    def bytes(self) -> int:
        """Of its own files, without those of ``base``."""
        return sum(layer.bytes for layer in self.layers)


def layer_file(layer: Layer, upon: str) -> str:
    """The Containerfile of an image that adds one layer to another image."""
    return f"FROM {upon}\n{_copy(layer)}\n"


def _copy(layer: Layer) -> str:
    return f"COPY {LAYERS}/{layer.name}/ /"


def tag_of(text: str, layers: Sequence[Layer]) -> str:
    """A tag that is the same for the same text and layers of the same contents."""
    parts = [text, *(layer.digest for layer in layers)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def http_command(base: str | None, host: str = "0.0.0.0") -> tuple[str, ...]:  # noqa: S104 - of the container
    """What a function runs that is called over HTTP; its port is in the environment."""
    return (*command_of(_python(base), SOURCES, _HTTP), CONFIG, "--host", host)


def socket_command(function: str, base: str | None) -> tuple[str, ...]:
    """What a function runs that is called through its socket."""
    return (*command_of(_python(base), SOURCES, _SOCKET), CONFIG, socket_path(function))


def gateway_command(job: str) -> tuple[str, ...]:
    """What the gateway runs."""
    return (*command_of(PYTHON, SOURCES, _GATEWAY), job)


def _python(base: str | None) -> str:
    return PYTHON if base is None else _OF_BASE_IMAGE


def environment(variables: Mapping[str, str], base: str | None) -> dict[str, str]:
    """The environment of a process, with where its libraries are."""
    return {**variables, **({} if base else {"LD_LIBRARY_PATH": LIBRARIES}), "PORT": str(PORT)}
