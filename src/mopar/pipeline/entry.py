"""A function on AWS Lambda that runs a whole plan, by calls of the plan's other functions: the gateway's executor.

    python -m mopar.pipeline.entry FOLDER/function.json

``function.json`` has the model's inputs and outputs as a graph, ``manifest.json`` beside it is the bundle's, and
``$MOPAR_FUNCTIONS`` says where the functions are (``mopar.platforms.endpoints``). Messages are those of
``mopar.runtime.aws_lambda.envelope``. Its package has what importing this module imports
(``mopar.platforms.aws_lambda.entry``), so nothing is imported later.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING

from mopar.files import read_json
from mopar.gateway.executor import Executor
from mopar.platforms.aws_lambda.messages import StoredValue
from mopar.platforms.aws_lambda.tensors import TensorStore
from mopar.platforms.aws_lambda.transport import lambda_wire
from mopar.platforms.endpoints import read_endpoints
from mopar.platforms.http import HttpTransport
from mopar.platforms.request_codes import PlanCodes
from mopar.runtime.aws_lambda.api import ApiError, Invocation, RuntimeApi
from mopar.runtime.aws_lambda.base64text import decode_into
from mopar.runtime.aws_lambda.envelope import Answer, Source, object_key, read_inputs, write_error
from mopar.runtime.aws_lambda.invoked import NO_MEMORY, next_to_store, too_large
from mopar.runtime.aws_lambda.start import serve_until_ended
from mopar.runtime.aws_lambda.wire import FAILED, MEMORY, MOST_BODY_BYTES, MOST_S, REFUSED
from mopar.runtime.config import Config, ConfigError, read_config
from mopar.runtime.engine import Tensor
from mopar.runtime.request import RefusedError
from mopar.types import REQUEST, Manifest, MoparError, OutOfMemoryError, RequestError, TensorValue

if TYPE_CHECKING:
    from mopar.runtime.config import Port

    Outputs = list[tuple[Port, Tensor, memoryview | bytes | str]]

MANIFEST = "manifest.json"
_USAGE = "usage: python -m mopar.pipeline.entry FUNCTION.json, as a runtime of AWS Lambda"
_IDLE_S = 5.0
"""After which connections are made anew: while a function is frozen, it does not hear that one was closed."""
_MARGIN_S = 0.5
"""Before Lambda's own deadline, so that the answer says which function was late."""


class Entry:
    """Answers invocations.

    Args:
        api: where they come from.
        config: the model as a graph.
        manifest: of the plan, with those codecs alone of which it passes codes on.

    Raises:
        MoparError: the functions' addresses are none.
    """

    def __init__(self, api: RuntimeApi, config: Config, manifest: Manifest) -> None:
        self._api = api
        self._graph = config.graphs[0]
        self._inputs = manifest.inputs
        self._passed_on = {name for name, producer in manifest.plan.outputs if producer == REQUEST}
        endpoints = read_endpoints(Path(config.function), manifest)
        wire = lambda_wire(endpoints.functions, endpoints.aws, PlanCodes.of(manifest), pointers=True)
        self._store: TensorStore | None = wire.store
        # Its memory was compared with the largest request's tensors when it was deployed.
        self._transport = HttpTransport(endpoints.functions, wire=wire)
        self._executor = Executor(manifest, self._transport, concurrency=1, queue=0, limited=True)
        self._runner = asyncio.Runner()
        self._answered_s = 0.0

    def serve(self, invocation: Invocation) -> None:
        """Run the plan and answer. Raises ApiError."""
        try:
            self._runner.run(self._serve(invocation))
        except ApiError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the next invocation is answered
            text = write_error(*_told(error))
            self._api.respond(invocation.id, len(text), (text,))
        if self._store is not None:
            self._runner.run(self._store.deleted())  # now, since while a function is frozen nothing is
        self._answered_s = time.time()

    async def _serve(self, invocation: Invocation) -> None:
        if time.time() - self._answered_s > _IDLE_S:
            await self._transport.close()
        values = self._values(read_inputs(invocation.body, self._graph, with_store=self._store is not None))
        invocation.body = bytearray()
        now_s = time.time()
        left_s = (invocation.deadline_ms / 1e3 or now_s + MOST_S) - now_s - _MARGIN_S
        async with self._executor.infer(values, None, left_s) as answer:
            outputs = self._described(answer.outputs)
            await self._store_large(outputs, invocation.id, time.monotonic() + left_s)
            compute_ns = sum(timing.compute_ns for timing in answer.timings)
            found = Answer(outputs)
            pieces = found.pieces(compute_ns, lambda: perf_counter_ns() - invocation.arrived_ns)
            self._api.respond(invocation.id, found.length, pieces)

    def _values(self, sources: list[Source]) -> Mapping[str, TensorValue]:
        """A request's inputs, by name."""
        found: dict[str, TensorValue] = {}
        for source in sources:
            spec = self._inputs[source.index]
            if source.offset is not None and spec.name in self._passed_on:
                raise RefusedError(
                    400, f"input {spec.name} is an output too, and so all of an object: leave out offset"
                )
            if source.text is None:
                length = 0 if source.offset is None else source.nbytes or 0
                found[spec.name] = StoredValue(spec.name, spec.dtype, source.shape, source.key, source.offset, length)
            else:
                found[spec.name] = TensorValue(spec.name, spec.dtype, source.shape, _decoded(source))
        return found

    def _described(self, values: Sequence[TensorValue]) -> "Outputs":
        found: Outputs = []
        for port, value in zip(self._graph.outputs, values, strict=True):
            data = value.key if isinstance(value, StoredValue) else memoryview(value.data).cast("B")
            found.append((port, Tensor(port.code, value.shape, 0, value.nbytes), data))
        return found

    async def _store_large(self, outputs: "Outputs", request: str, deadline: float) -> None:
        """Put outputs into the bucket that the answer has no room for."""
        while (index := next_to_store(outputs, MOST_BODY_BYTES)) is not None:
            port, tensor, data = outputs[index]
            assert not isinstance(data, str), "stored already"
            if self._store is None:
                raise RefusedError(413, too_large(port.name, len(data)))
            key = object_key(self._store.new_prefix(), request, index, port.name)
            await self._store.put(key, memoryview(data), deadline)
            outputs[index] = port, tensor, key


def _decoded(source: Source) -> memoryview:
    assert source.text is not None, "an input without data"
    data = memoryview(bytearray(source.nbytes or 0))
    try:
        decode_into(source.text, data)
    except ValueError as cause:
        raise RefusedError(400, f"input {source.port.name}: {cause}") from cause
    return data


def _told(error: Exception) -> tuple[str, str]:
    """Kind and text of an error."""
    if isinstance(error, OutOfMemoryError):
        return MEMORY, str(error)
    if isinstance(error, RefusedError | RequestError):
        return REFUSED, str(error)
    if isinstance(error, MemoryError):
        return MEMORY, NO_MEMORY
    return FAILED, str(error) if isinstance(error, MoparError) else f"failed: {error!r}"


def main() -> None:
    """Serve the plan that the first argument's file is of, until Lambda ends this process."""

    def load(api: RuntimeApi) -> Callable[[Invocation], None]:
        path = Path(sys.argv[1])
        config = read_config(str(path))
        try:
            return Entry(api, config, read_json(path.with_name(MANIFEST), Manifest, error=MoparError)).serve
        except MoparError as cause:
            raise ConfigError(str(cause)) from cause

    serve_until_ended(_USAGE, load)
