"""One invocation from its message to its answer."""

from time import perf_counter_ns

from mopar.runtime.aws_lambda.base64text import decode_into
from mopar.runtime.aws_lambda.envelope import Answer, object_key, read_request, write_error
from mopar.runtime.aws_lambda.wire import FAILED, MEMORY, MOST_BODY_BYTES, REFUSED
from mopar.runtime.encoded import UNUSABLE, decode_input, encode_outputs, placed, sized_input
from mopar.runtime.function import Room
from mopar.runtime.request import RefusedError

TYPE_CHECKING = False  # typing and collections cost memory
if TYPE_CHECKING:
    from mopar.runtime.aws_lambda.api import Invocation, RuntimeApi
    from mopar.runtime.aws_lambda.envelope import Request, Source, Store
    from mopar.runtime.aws_lambda.objects import ObjectStore
    from mopar.runtime.config import Port
    from mopar.runtime.encoded import Encoding
    from mopar.runtime.engine import Tensor
    from mopar.runtime.function import Function, Run

    Outputs = list[tuple[Port, Tensor, memoryview | bytes | str]]
    Encodings = tuple[()] | list[Encoding | None]

_KINDS = {500: MEMORY, UNUSABLE: FAILED}
"""Of a refusal, by its status."""


NO_MEMORY = "the handler has no memory left"


class Invocations:
    """Answers one invocation after the other.

    Args:
        api: where they come from.
        function: that computes them.
    """

    def __init__(self, api: "RuntimeApi", function: "Function") -> None:
        self._api = api
        self._function = function
        self._room = Room()
        self._codes = Room()
        self._stores: dict[str, ObjectStore] = {}

    def serve(self, invocation: "Invocation") -> None:
        """Run an invocation and answer it. Raises ApiError."""
        try:
            run, answer = self._run(invocation)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next invocation is answered
            text = write_error(*_told(error))
            self._api.respond(invocation.id, len(text), (text,))
            return
        try:
            pieces = answer.pieces(run.compute_ns, lambda: perf_counter_ns() - invocation.arrived_ns)
            self._api.respond(invocation.id, answer.length, pieces)
        finally:
            run.close()
        self._function.called()

    def _run(self, invocation: "Invocation") -> "tuple[Run, Answer]":
        request = read_request(invocation.body, self._function.graphs)
        inputs = self._placed(request)
        invocation.body = bytearray()  # its pages are the engine's meanwhile
        graph, store, encodings = request.graph, request.store, request.encodings
        del request  # it has views of the message
        run = self._function.run(graph.id, inputs, list(range(len(graph.outputs))))
        try:
            codes = encode_outputs(self._function.lossless, self._codes, graph.outputs, run.outputs, encodings)
            sent = [raw if code is None else code[1] for raw, code in zip(run.data, codes, strict=True)]
            how = [None if code is None else code[0] for code in codes]
            outputs: Outputs = list(zip(graph.outputs, run.outputs, sent, strict=True))
            self._store_large(outputs, how, run.data, store, invocation.id)
            return run, Answer(outputs, how)
        except BaseException:
            run.close()
            raise

    def _store_large(
        self,
        outputs: "Outputs",
        how: "list[Encoding | None]",
        raw: "list[memoryview | bytes]",
        store: "Store | None",
        request: str,
    ) -> None:
        """Put outputs that are too large for the answer into the store, where there is one; there none is encoded.

        Raises:
            RefusedError: there is none, and an output is too large.
            OSError: the store does not take them.
        """
        above_bytes = MOST_BODY_BYTES if store is None else store.above_bytes
        while (index := next_to_store(outputs, above_bytes, how)) is not None:
            port, tensor, _ = outputs[index]
            data = raw[index]
            if store is None:
                raise RefusedError(413, too_large(port.name, len(data)))
            key = object_key(store.prefix, request, index, port.name)
            self._bucket(store.bucket).put(key, data)
            outputs[index] = port, tensor, key
            how[index] = None

    def _placed(self, request: "Request") -> "list[tuple[int, Tensor]]":
        """The inputs of a request, in memory where the engine reads them."""
        fetched = {source.index: self._fetched(request, source) for source in request.sources if source.nbytes is None}
        sized = [
            sized_input(
                source.port,
                source.shape,
                len(fetched[source.index]) if source.nbytes is None else source.nbytes,
                source.item,
            )
            for source in request.sources
        ]
        received = placed(self._room, sized, self._function.config.max_body_bytes)
        for source, (tensor, encoding), (code, view) in zip(request.sources, sized, received, strict=True):
            if source.nbytes is None:
                view[:] = fetched[source.index]
            elif source.text is not None:
                _decode(source, view)
            else:
                assert request.store is not None, "an object without a store"
                self._bucket(request.store.bucket).get_into(source.key, view, source.offset)
            if encoding is not None:
                decode_input(self._function.lossless, source.port, encoding, (code, view), tensor)
        return [(source.index, tensor) for source, (tensor, _) in zip(request.sources, sized, strict=True)]

    def _fetched(self, request: "Request", source: "Source") -> bytes:
        """An object whose size is not known beforehand."""
        assert request.store is not None, "an object without a store"
        return self._bucket(request.store.bucket).get(source.key, self._function.config.max_body_bytes)

    def _bucket(self, bucket: str) -> "ObjectStore":
        found = self._stores.get(bucket)
        if found is None:
            from mopar.runtime.aws_lambda.objects import ObjectStore  # 10 MiB that only functions with a store pay

            found = self._stores[bucket] = ObjectStore(bucket)
        return found


def _decode(source: "Source", view: memoryview) -> None:
    assert source.text is not None, "an input without data"
    try:
        decode_into(source.text, view)
    except ValueError as cause:
        raise RefusedError(400, f"input {source.port.name}: {cause}") from cause


def next_to_store(outputs: "Outputs", above_bytes: int, how: "Encodings" = ()) -> "int | None":
    """The index of the largest output, if it may not stay in an answer."""
    sizes = [0 if isinstance(data, str) else len(data) for _, _, data in outputs]
    largest = max(sizes, default=0)
    if largest == 0 or (largest <= above_bytes and Answer(outputs, how).length <= MOST_BODY_BYTES):
        return None
    return sizes.index(largest)


def too_large(name: str, nbytes: int) -> str:
    """Why an output of so many bytes is refused where there is no store."""
    return (
        f"output {name} has {nbytes} bytes, and an answer of Lambda's {MOST_BODY_BYTES} in base64: "
        "deploy with a bucket, which such tensors pass through"
    )


def _told(error: Exception) -> "tuple[str, str]":
    """Kind and text of an error."""
    if isinstance(error, RefusedError):
        return _KINDS.get(error.status, REFUSED), str(error)
    if isinstance(error, MemoryError):
        return MEMORY, NO_MEMORY
    return FAILED, str(error) if isinstance(error, OSError) else f"failed: {error!r}"
