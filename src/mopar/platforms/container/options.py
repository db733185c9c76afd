"""Options of deployments to containers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from mopar.types import UsageError

TRANSPORTS = ("socket", "http")
NETWORKS = ("bridge", "host")


@dataclass(frozen=True, slots=True)
class ContainerOptions:
    """Options of deployments to containers of this machine."""

    engine: Annotated[str | None, Meta(description="podman, docker or a path; default: podman, or else docker")] = None
    runtime: Annotated[str | None, Meta(description="the engine's own --runtime, such as runc")] = None
    base_image: Annotated[
        str | None, Meta(description="image with python3 to build functions upon; default: this machine's own Python")
    ] = None
    transport: Annotated[
        str, Meta(description="how functions are called: socket (shared memory, the default) or http")
    ] = "socket"
    network: Annotated[str, Meta(description="bridge (the default), or host where the engine has no bridges")] = (
        "bridge"
    )
    host: Annotated[str, Meta(description="address that the gateway is published on; default: 127.0.0.1")] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65535, description="its port; 0, the default, for any, or the earlier one's")
    ] = 0
    token_file: Annotated[Path | None, Meta(description="file with the token that requests must send")] = None
    ready_s: Annotated[float, Meta(gt=0, description="seconds that it may take until it answers; default: 60")] = 60.0
    keep_images: Annotated[bool, Meta(description="remove: leave the images")] = False

    @property
    def on_loopback(self) -> bool:
        """Whether this machine alone reaches the gateway."""
        return self.host in {"127.0.0.1", "localhost", "::1"}

    def checked(self) -> "ContainerOptions":
        """These options. Raises UsageError where one has a value that it cannot have."""
        for name, value, known in (
            ("--transport", self.transport, TRANSPORTS),
            ("--network", self.network, NETWORKS),
        ):
            if value not in known:
                raise UsageError(f"{name} {value}: choose from {', '.join(known)}")
        if self.base_image is not None and (self.base_image.startswith("-") or len(self.base_image.split()) != 1):
            raise UsageError(f"--base-image {self.base_image!r}: write an image's name, such as python:3-slim")
        return self
