"""One inference from its head to its answer: tensors are received where the engine reads them, and sent uncopied."""

from time import perf_counter_ns

from mopar.runtime.function import Room
from mopar.runtime.http.head import answer_head
from mopar.runtime.http.oip import read_inference, write_answer
from mopar.runtime.http.routes import graph_asked
from mopar.runtime.request import RefusedError

TYPE_CHECKING = False  # typing costs memory
if TYPE_CHECKING:
    from mopar.runtime.function import Function, Run
    from mopar.runtime.http.connection import Connection
    from mopar.runtime.http.head import Head

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Inferences:
    """Serves one inference after the other.

    Args:
        function: that computes them.
    """

    def __init__(self, function: "Function") -> None:
        self._function = function
        self._room = Room()

    def serve(self, connection: "Connection", head: "Head") -> None:
        """Read the rest of a request, run it, and answer.

        Raises:
            RefusedError: it is refused before all of it was read.
            GoneError: the client left or is too slow.
        """
        arrived_ns = perf_counter_ns()
        run, text = self._run(connection, head)
        try:
            headers: dict[str, object] = {
                "Content-Type": "application/octet-stream",
                "Inference-Header-Content-Length": len(text),
                "Mopar-Held-Ns": perf_counter_ns() - arrived_ns,
                "Mopar-Compute-Ns": run.compute_ns,
            }
            length = len(text) + sum(map(len, run.data))
            connection.send([answer_head(200, length, headers, keep=head.keep), text, *run.data])
        finally:
            run.close()
        if not head.keep:
            connection.linger()
        self._function.called()

    def _run(self, connection: "Connection", head: "Head") -> "tuple[Run, bytes]":
        """The run of a request, and the JSON of its answer."""
        assert head.length is not None, "routed without a length"
        assert head.json_length is not None, "routed without JSON"
        deadline = connection.latest(head.length)
        if head.expects:
            connection.send([_CONTINUE])
        graph = self._function.graphs[graph_asked(head)]
        text = connection.receive(head.json_length, deadline)
        inference = read_inference(text, graph, head.length - head.json_length)
        try:
            views = self._room.place([tensor for _, tensor in inference.inputs])
        except OSError as cause:
            raise RefusedError(500, "there is no memory for the inputs") from cause
        connection.receive_into(views, deadline)
        run = self._function.run(graph.id, inference.inputs, inference.outputs)
        return run, write_answer(graph, inference, run.outputs)
