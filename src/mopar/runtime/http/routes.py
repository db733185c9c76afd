"""Separates inferences from other requests, and answers the others."""

from mopar.runtime.http.connection import GoneError
from mopar.runtime.http.oip import write_error, write_metadata
from mopar.runtime.request import RefusedError

TYPE_CHECKING = False  # typing costs memory
if TYPE_CHECKING:
    from mopar.runtime.function import Function
    from mopar.runtime.http.connection import Connection
    from mopar.runtime.http.head import Head

_LIVE = "/v2/health/live"
_READY = ("/v2/health/ready", "/healthz", "/_/health", "/_/ready")
_MODELS, _INFER = "/v2/models/", "/infer"
_MAX_JSON_BYTES = 1 << 20
_HEX = "0123456789abcdefABCDEF"


def wants_inference(head: "Head", function: "Function", *, stopping: bool) -> bool:
    """Whether a request is an inference that may start.

    Raises:
        RefusedError: it is an inference that may not start.
    """
    graph = graph_asked(head)
    if not graph or head.method != "POST":
        return False
    if not function.loaded or stopping:
        raise RefusedError(503, f"function {function.config.function} is {'stopping' if stopping else 'loading'}")
    if graph not in function.graphs:
        raise RefusedError(404, f"there is no graph {graph}: {', '.join(function.graphs)}")
    if head.length is None:
        raise RefusedError(411, "send the body with a Content-Length")
    if head.length > function.config.max_body_bytes:
        limit = function.config.max_body_bytes
        raise RefusedError(413, f"a body of {head.length} bytes is too large: the limit is {limit}")
    if head.json_length is None:
        raise RefusedError(400, "send tensors with the binary tensor extension (Inference-Header-Content-Length)")
    if head.json_length > min(head.length, _MAX_JSON_BYTES):
        raise RefusedError(400, f"Inference-Header-Content-Length must be {min(head.length, _MAX_JSON_BYTES)} at most")
    return True


def graph_asked(head: "Head") -> str:
    """The graph of an inference request; empty for other requests."""
    return _graph_of(head.path, _INFER)


def answer_simple(connection: "Connection", head: "Head", function: "Function") -> None:
    """Answer a request that is no inference. Raises GoneError."""
    status, body = _simple(head, function)
    # A body is not read here, so the connection is not used again after one.
    keep = head.keep and not head.length
    headers = _headers(status)
    if function.config.revision:
        headers["Mopar-Revision"] = function.config.revision
    connection.answer(status, b"" if head.method == "HEAD" else body, headers, keep=keep)


def answer_refused(connection: "Connection", error: Exception) -> bool:
    """Answer with an error; returns whether the connection is still open, and has to be read to its end.

    An error that is no RefusedError is a bug, and answered with 500.
    """
    if isinstance(error, GoneError):
        return False
    status, text = (error.status, str(error)) if isinstance(error, RefusedError) else (500, f"failed: {error!r}")
    try:
        connection.answer(status, write_error(text), _headers(status), keep=False)
    except GoneError:
        return False
    return True


def _simple(head: "Head", function: "Function") -> "tuple[int, bytes]":
    graph = function.graphs.get(_graph_of(head.path))
    if graph is None and head.path not in {_LIVE, *_READY}:
        return 404, write_error("there is no such path")
    if head.method not in {"GET", "HEAD"}:
        return 405, write_error("only GET is answered here")
    if graph is not None:
        return 200, write_metadata(graph)
    if head.path != _LIVE and not function.loaded:
        return 503, write_error(f"function {function.config.function} is loading")
    return 200, b"{}"


def _headers(status: int) -> "dict[str, object]":
    return {"Content-Type": "application/json", **({"Retry-After": 1} if status == 503 else {})}


def _graph_of(path: str, suffix: str = "") -> str:
    """The graph that a path names; empty where it names none."""
    if not path.startswith(_MODELS) or not path.endswith(suffix):
        return ""
    return _unquoted(path[len(_MODELS) : len(path) - len(suffix)])


def _unquoted(text: str) -> str:
    """A path's part with percent-encoding decoded; empty where that is invalid."""
    first, *rest = text.split("%")
    if any(len(part) < 2 or part[0] not in _HEX or part[1] not in _HEX for part in rest):
        return ""
    pieces = [bytes((int(part[:2], 16),)) + part[2:].encode() for part in rest]
    return b"".join([first.encode(), *pieces]).decode(errors="replace")
