"""The protocol's extension for tensors in memory that clients share: its paths, and the tensors of a request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import msgspec

from mopar.files import JSON_ERRORS
from mopar.gateway.http.decode import Inference
from mopar.gateway.http.messages import JSON, Request, Response, json_response
from mopar.gateway.http.schema import SharedPart
from mopar.gateway.regions import Beside, FilePart, Regions, aligned, overlap, read, write
from mopar.segments import Place
from mopar.types import RequestError, TensorValue

PATH = ("v2", "systemsharedmemory")
_MOST_JSON_BYTES = 1 << 14
_Bytes = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class _Registration(msgspec.Struct, frozen=True):
    key: str
    byte_size: _Bytes
    offset: _Bytes = 0


_REGISTRATION = msgspec.json.Decoder(_Registration)


class SharedMemoryPaths:
    """Answers to the extension's paths.

    Args:
        regions: what is registered.
        beside: calls a function in another thread.
    """

    def __init__(self, regions: Regions, beside: Beside) -> None:
        self._regions, self._beside = regions, beside

    async def status(self, request: Request, name: str | None) -> Response:
        """The regions of the client's, or one of them."""
        user = request.user()
        found = self._regions.of(user).values() if name is None else [self._regions.get(name, user)]
        return json_response(
            200,
            [
                {
                    "name": region.name,
                    "key": region.part.key,
                    "offset": region.part.offset,
                    "byte_size": region.part.byte_size,
                }
                for region in found
            ],
        )

    async def register(self, request: Request, name: str | None) -> Response:
        """Register a region. Raises RequestError."""
        if name is None:
            raise RequestError("no such path: name the region", 404)
        if len(request.body) > _MOST_JSON_BYTES:
            raise RequestError(f"a registration has at most {_MOST_JSON_BYTES} bytes", 413)
        try:
            asked = _REGISTRATION.decode(request.body)
        except JSON_ERRORS as cause:
            raise RequestError(f"the registration is malformed: {cause}") from cause
        part = FilePart(asked.key, asked.offset, asked.byte_size)
        await self._regions.register(name, part, request.user(), self._beside)
        return Response(200, [], JSON)

    async def unregister(self, request: Request, name: str | None) -> Response:
        """Forget a region, or all of the client's."""
        if name is None:
            self._regions.unregister_all(request.user())
        else:
            self._regions.unregister(name, request.user())
        return Response(200, [], JSON)


@dataclass(frozen=True, slots=True)
class ClientsMemory:
    """The shared memory of one request's client.

    Attributes:
        regions: what is registered.
        request: whose client it is.
        mapped: whether functions can use it in place.
    """

    regions: Regions
    request: Request
    mapped: bool

    def place(self, part: SharedPart, what: str) -> Place:
        """A part of a region. Raises RequestError."""
        return self.regions.get(part.region, self.request.user()).place(part.offset, part.nbytes, what)


def homes_in_place(inference: Inference) -> Mapping[str, Place]:
    """The places of outputs that functions can write to while they read the inputs."""
    taken = [value.place for value in inference.inputs.values() if value.place is not None]
    found: dict[str, Place] = {}
    for name, home in inference.homes.items():
        if aligned(home) and not any(overlap(home, other) for other in taken):
            found[name] = home
        taken.append(home)
    return found


def delivered(inference: Inference, outputs: Sequence[TensorValue]) -> list[TensorValue]:
    """Outputs once each is where the client wants it: copied to its region, or from one, unless it was made there.

    Raises:
        RequestError: one does not fit into its part of a region.
    """
    found = []
    for value in outputs:
        home = inference.homes.get(value.name)
        at_home = home is not None and value.place == replace(home, nbytes=value.nbytes)
        if value.place is not None and not at_home:
            value = replace(value, data=read(value.place), place=None)  # noqa: PLW2901 - the same value elsewhere
        if home is not None and not at_home:
            write(home, value.data)
        found.append(value)
    return found
