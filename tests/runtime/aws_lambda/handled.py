"""A function's handler in this process, and what it would send to Lambda."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mopar.platforms.aws_lambda.messages import NO_ENCODINGS, InvokeAnswer, StorePlace, invoke_message, read_answer
from mopar.platforms.aws_lambda.messages import Sent as Sendable
from mopar.runtime.aws_lambda.api import Invocation, RuntimeApi
from mopar.runtime.aws_lambda.invoked import Invocations
from mopar.runtime.config import read_config
from mopar.runtime.engine import Engine
from mopar.runtime.function import Function
from mopar.types import TensorSpec
from tests.runtime.http.doors import Ports, config

REQUEST_ID = "0f0d-11"


class Sent(RuntimeApi):
    """Takes answers in place of Lambda; each has to be as long as announced."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1:1")
        self.bodies: list[bytes] = []

    def respond(self, name: str, length: int, parts: Iterable[bytes]) -> None:
        assert name == REQUEST_ID
        body = b"".join(parts)
        assert len(body) == length
        self.bodies.append(body)


class QuietFiles:
    """Leaves the mapped files of this process alone, which is no function's."""

    def loaded(self) -> None: ...

    def called(self) -> None: ...


class Handled:
    """A loaded function with one graph, ``g0``."""

    def __init__(self, folder: Path, graph: Path, inputs: Ports, outputs: Ports, **changes: object) -> None:
        self._outputs = tuple(TensorSpec(name, dtype, None) for name, dtype in outputs.items())
        self._api = Sent()
        changes = {"max_body_bytes": 64 << 20, **changes}
        function = Function(read_config(str(config(folder, graph, inputs, outputs, **changes))), make_engine)
        function.load()
        self._invocations = Invocations(self._api, function)

    def sent(self, body: bytes) -> bytes:
        """What a message is answered with."""
        self._invocations.serve(Invocation(REQUEST_ID, bytearray(body), 0))
        return self._api.bodies.pop()

    def raw(self, body: bytes) -> dict[str, Any]:
        """The JSON that a message is answered with."""
        found: dict[str, Any] = json.loads(self.sent(body))
        return found

    def error(self, body: bytes) -> tuple[str, str]:
        """Kind and message of the error that a message is answered with."""
        found = self.raw(body)
        assert found.keys() == {"error"}, found
        return found["error"]["kind"], found["error"]["message"]

    def call(
        self,
        inputs: Sequence[Sendable],
        store: StorePlace | None = None,
        encodings: Mapping[str, str | None] = NO_ENCODINGS,
    ) -> InvokeAnswer:
        """What a client makes of the answer."""
        body = self.sent(invoke_message("g0", inputs, store, encodings))
        return read_answer("f0", body, self._outputs, [None] * len(self._outputs), encodings)


def make_engine(library: str, threads: int) -> "Engine":
    before = os.sched_getaffinity(0)
    engine = Engine(library, threads)
    os.sched_setaffinity(0, before)
    engine.mapped = QuietFiles()  # type: ignore[assignment]
    return engine
