"""Which request is what, and the answers that need no computing."""

from mopar.runtime.http.connection import GoneError
from mopar.runtime.http.head import RefusedError
from mopar.runtime.http.oip import write_error, write_metadata

TYPE_CHECKING = False  # typing costs memory
if TYPE_CHECKING:
    from mopar.runtime.http.connection import Connection
    from mopar.runtime.http.function import Function
    from mopar.runtime.http.head import Head

_LIVE = "/v2/health/live"
_READY = ("/v2/health/ready", "/healthz", "/_/health")
_MODELS, _INFER = "/v2/models/", "/infer"
_MAX_JSON_BYTES = 1 << 20
_HEX = "0123456789abcdefABCDEF"


def wants_inference(head: "Head", function: "Function", *, stopping: bool) -> bool:
    """Whether a request is an inference, and one that may begin.

    Raises:
        RefusedError: it is an inference that may not.
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
    """The graph whose inference is asked for; empty where it is something else."""
    return _graph_of(head.path, _INFER)


def answer_simple(connection: "Connection", head: "Head", function: "Function") -> None:
    """Answer what is no inference. Raises GoneError."""
    status, body = _simple(head, function)
    # What a body holds is not looked at: after one, the connection is not used again.
    keep = head.keep and not head.length
    connection.answer(status, b"" if head.method == "HEAD" else body, _headers(status), keep=keep)


def answer_refused(connection: "Connection", error: Exception) -> bool:
    """Answer with an error where somebody may hear it; whether the connection is still to be read to its end.

    Whatever is no refusal is a fault of our own.
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
    """A path's part without its percent signs; empty where they make no sense."""
    first, *rest = text.split("%")
    if any(len(part) < 2 or part[0] not in _HEX or part[1] not in _HEX for part in rest):
        return ""
    pieces = [bytes((int(part[:2], 16),)) + part[2:].encode() for part in rest]
    return b"".join([first.encode(), *pieces]).decode(errors="replace")
