"""A function that answers its input, served in this process by the code that serves a socket."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from mopar.platforms.codes import codec_library
from mopar.platforms.http.connection import Reply
from mopar.platforms.http.messages import request_head
from mopar.runtime.config import Graph
from mopar.runtime.engine import Tensor
from mopar.runtime.function import Function, _view_of
from mopar.runtime.http.connection import Connection
from mopar.runtime.http.head import take_head
from mopar.runtime.http.inference import Inferences
from mopar.runtime.lossless import Lossless
from mopar.types import dtype_of_name, oip_of

LOSSLESS = Lossless(str(codec_library()))
MOST_BODY_BYTES = 1 << 24


@dataclass
class _Run:
    outputs: list[Tensor]
    data: list[memoryview | bytes]
    compute_ns: int = 1

    def close(self) -> None:
        """Nothing is held."""


@dataclass
class _Config:
    max_body_bytes: int = MOST_BODY_BYTES


class Identity:
    """What ``Inferences`` needs of a function: graph ``g`` from ``x``, or several inputs, to ``y``, of one type.

    It answers the first input, and keeps the others' bytes in ``received``.
    """

    def __init__(self, dtype: str, lossless: Lossless | None = LOSSLESS, inputs: str = "x") -> None:
        kind = dtype_of_name(dtype)
        *read, made = ({"name": name, "datatype": oip_of(kind), "code": kind.code} for name in (*inputs, "y"))
        item: dict[object, object] = {"id": "g", "path": "", "flags": 0, "inputs": read, "outputs": [made]}
        self.received: list[bytes] = []
        self.graphs = {"g": Graph(item, "")}
        self.config = _Config()
        self.lossless = lossless

    def run(self, _graph: str, inputs: list[tuple[int, Tensor]], _wanted: list[int]) -> _Run:
        tensor, *others = (tensor for _, tensor in inputs)
        self.received = [ctypes.string_at(other.address, other.nbytes) for other in others]
        return _Run([tensor], [_view_of(tensor.address, tensor.nbytes, 0x200) if tensor.nbytes else b""])

    def called(self) -> None:
        """Nothing is looked after."""


@dataclass
class _Wire:
    """A connection on which everything has arrived."""

    body: memoryview
    sent: bytearray = field(default_factory=bytearray)

    def latest(self, _nbytes: int) -> float:
        return 0.0

    def receive(self, count: int, _deadline: float) -> bytes:
        data, self.body = bytes(self.body[:count]), self.body[count:]
        return data

    def receive_into(self, views: list[memoryview], _deadline: float) -> None:
        for view in views:
            view[:] = self.body[: len(view)]
            self.body = self.body[len(view) :]

    def send(self, parts: Sequence[bytes | memoryview]) -> None:
        self.sent += b"".join(parts)


class Served:
    """Answers requests one after the other, as a function's process does."""

    def __init__(self, function: Identity) -> None:
        self._inferences = Inferences(cast("Function", function))
        self.wire = _Wire(memoryview(b""))

    def reply(self, parts: Sequence[bytes | memoryview]) -> Reply:
        """The answer to a request's body. Raises RefusedError."""
        head = take_head(bytearray(request_head("/v2/models/g/infer", "f", parts)))
        assert head is not None
        wire = self.wire = _Wire(memoryview(b"".join(parts)))
        self._inferences.serve(cast("Connection", wire), head)
        lines, _, body = bytes(wire.sent).partition(b"\r\n\r\n")
        pairs = (line.decode().partition(": ") for line in lines.split(b"\r\n")[1:])
        return Reply(200, {name.lower(): value for name, _, value in pairs}, memoryview(bytearray(body)))
