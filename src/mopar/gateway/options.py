"""How a bundle is served."""

from dataclasses import dataclass
from pathlib import Path

from mopar.types import Network

DEFAULT_PORT = 8000
DEFAULT_QUEUE = 64
"""Requests that may wait for their turn."""


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How a bundle is served.

    Attributes:
        host: to listen on.
        port: to listen on; 0 for any that is free.
        name: of the model in the protocol's paths; None for the bundle's own.
        queue: requests that may wait.
        deadline_s: for each request, waiting included.
        max_body_mib: largest request body.
        max_json_mib: largest JSON of a request, without binary data.
        allow_hosts: host names of requests that are accepted beside ``localhost`` and addresses; without any, names are
            checked only where ``host`` is a loopback address.
        token_file: holds the token that requests must have; None for none.
        limits: whether functions run under the plan's limits of memory and CPU.
        transport: how functions are called: ``local`` (frames and shared memory) or ``http``.
        network: to emulate between gateway and functions, with ``http``; None for none.
        functions: file with the addresses of functions that run elsewhere; None to start them on this machine.
        max_request_mib: most shared memory for one request, tensors between calls included; None for what the
            largest planned request takes, or where there is no largest, a quarter of ``max_memory_mib``.
        max_memory_mib: most shared memory for all requests; None for half of what is available at the start.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    name: str | None = None
    queue: int = DEFAULT_QUEUE
    deadline_s: float = 30.0
    max_body_mib: int = 64
    max_json_mib: int = 8
    allow_hosts: tuple[str, ...] = ()
    token_file: Path | None = None
    limits: bool = True
    transport: str = "local"
    network: Network | None = None
    functions: Path | None = None
    max_request_mib: int | None = None
    max_memory_mib: int | None = None
