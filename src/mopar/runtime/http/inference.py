"""One inference from its head to its answer: tensors are received where the engine reads them, and sent uncopied."""

from time import perf_counter_ns

from mopar.runtime.encoded import decode_input, encode_outputs, placed
from mopar.runtime.function import Room
from mopar.runtime.http.head import answer_head
from mopar.runtime.http.oip import read_inference, write_answer
from mopar.runtime.http.routes import graph_asked

TYPE_CHECKING = False  # typing costs memory
if TYPE_CHECKING:
    from mopar.runtime.config import Graph
    from mopar.runtime.function import Function, Run
    from mopar.runtime.http.connection import Connection
    from mopar.runtime.http.head import Head
    from mopar.runtime.http.oip import Inference

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Inferences:
    """Serves one inference after the other.

    Args:
        function: that computes them.
    """

    def __init__(self, function: "Function") -> None:
        self._function = function
        self._room = Room()
        self._codes = Room()

    def serve(self, connection: "Connection", head: "Head") -> None:
        """Read the rest of a request, run it, and answer.

        Raises:
            RefusedError: it is refused before all of it was read.
            GoneError: the client left or is too slow.
        """
        arrived_ns = perf_counter_ns()
        run, text, data = self._run(connection, head)
        try:
            headers: dict[str, object] = {
                "Content-Type": "application/octet-stream",
                "Inference-Header-Content-Length": len(text),
                "Mopar-Held-Ns": perf_counter_ns() - arrived_ns,
                "Mopar-Compute-Ns": run.compute_ns,
            }
            length = len(text) + sum(map(len, data))
            connection.send([answer_head(200, length, headers, keep=head.keep), text, *data])
        finally:
            run.close()
        if not head.keep:
            connection.linger()
        self._function.called()

    def _run(self, connection: "Connection", head: "Head") -> "tuple[Run, bytes, list[memoryview | bytes]]":
        """The run of a request, the JSON of its answer, and the data that follow it."""
        assert head.length is not None, "routed without a length"
        assert head.json_length is not None, "routed without JSON"
        deadline = connection.latest(head.length)
        if head.expects:
            connection.send([_CONTINUE])
        graph = self._function.graphs[graph_asked(head)]
        text = connection.receive(head.json_length, deadline)
        inference = read_inference(text, graph, head.length - head.json_length)
        self._receive(connection, graph, inference, deadline)
        run = self._function.run(graph.id, inference.inputs, inference.outputs)
        try:
            ports = [graph.outputs[index] for index in inference.outputs]
            codes = encode_outputs(self._function.lossless, self._codes, ports, run.outputs, inference.wanted)
            data = [raw if code is None else code[1] for raw, code in zip(run.data, codes, strict=True)]
            return run, write_answer(graph, inference, run.outputs, codes), data
        except BaseException:
            run.close()
            raise

    def _receive(self, connection: "Connection", graph: "Graph", inference: "Inference", deadline: float) -> None:
        """Receive the inputs where the engine reads them; codes are received behind them, and decoded to there.

        One is decoded while those after it are on their way.
        """
        sized = list(zip([tensor for _, tensor in inference.inputs], inference.encodings, strict=True))
        received = placed(self._room, sized, self._function.config.max_body_bytes)
        missing = []
        for (index, _), (tensor, encoding), code in zip(inference.inputs, sized, received, strict=True):
            missing.append(code[1])
            if encoding is not None:
                connection.receive_into(missing, deadline)
                missing.clear()
                decode_input(self._function.lossless, graph.inputs[index], encoding, code, tensor)
        connection.receive_into(missing, deadline)
