"""A client of the Open Inference Protocol v2, on the standard library's HTTP."""

import http.client
import json
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, unquote, urlsplit

import numpy as np

from mopar.gateway.arrays import Array, from_array, numpy_dtype, to_array
from mopar.gateway.token import Token
from mopar.types import (
    DeploymentError,
    OverloadedError,
    RequestError,
    TensorValue,
    UsageError,
    dtype_of_name,
    dtype_of_oip,
    oip_of,
)

Json = dict[str, Any]


class Client:
    """A client of one model, on one kept-alive connection. Not for several threads at once.

    Args:
        url: of the server (``http://127.0.0.1:8000``), which then must serve one model, or of a model
            (``http://127.0.0.1:8000/v2/models/NAME``).
        timeout_s: for connecting, and for every wait for data.
        token: sent with every request; None for none.

    Raises:
        UsageError: the URL is not of that form.
    """

    def __init__(self, url: str, *, timeout_s: float = 60.0, token: Token | None = None) -> None:
        self.url = url
        self._headers = {} if token is None else {"Authorization": token.header()}
        self._connection = _connection(url, timeout_s)
        self._used = False
        self.timings: dict[str, dict[str, float]] = {}
        """Of the last answer: function -> ``held``, ``engine`` and ``waiting`` time in ms, all its calls together; and
        ``billed``, where its platform bills it."""
        before, found, model = urlsplit(url).path.rstrip("/").partition("/v2/models/")
        self._prefix = before.removesuffix("/v2")
        self._model = unquote(model) if found else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; a later call opens another."""
        self._connection.close()
        self._used = False

    def model(self) -> str:
        """The model's name. Raises UsageError where the URL names none and the server serves several."""
        if self._model is None:
            names = sorted(
                {entry["name"] for entry in json.loads(self._call("POST", "/v2/repository/index", b"{}")[0])}
            )
            if len(names) != 1:
                raise UsageError(f"{self.url} serves {', '.join(names) or 'no model'}: add /v2/models/NAME to the URL")
            self._model = names[0]
        return self._model

    def metadata(self) -> Json:
        """The model's metadata in the protocol's JSON form."""
        return self._json("GET", f"/v2/models/{quote(self.model(), safe='')}")

    def ready(self) -> bool:
        """Whether the server reports that it is ready."""
        try:
            self._call("GET", "/v2/health/ready")
        except OverloadedError:
            return False
        return True

    def infer(self, inputs: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """Run the model.

        Args:
            inputs: arrays by name; strings as objects.
            outputs: names of the outputs to return; None for all.

        Raises:
            InputError: an array cannot be sent.
            RequestError: the server refuses the request.
            OverloadedError: the server is too busy now.
            DeploymentError: it failed, or cannot be reached.
        """
        values = [from_array(name, np.asarray(array)) for name, array in inputs.items()]
        tensors = [
            {
                "name": value.name,
                "datatype": oip_of(dtype_of_name(value.dtype)),
                "shape": value.shape,
                "parameters": {"binary_data_size": memoryview(value.data).nbytes},
            }
            for value in values
        ]
        request: Json = {"inputs": tensors, "parameters": {"binary_data_output": True}}
        if outputs is not None:
            request["outputs"] = [{"name": name} for name in outputs]
        head = json.dumps(request).encode()
        headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
        path = f"/v2/models/{quote(self.model(), safe='')}/infer"
        body, header = self._call("POST", path, b"".join([head, *(value.data for value in values)]), headers)
        try:
            return _outputs(body, header)
        except (ValueError, KeyError, TypeError) as cause:
            raise DeploymentError(f"{self.url}: the answer is not of the Open Inference Protocol: {cause}") from cause

    def _json(self, method: str, path: str) -> Json:
        value: Json = json.loads(self._call(method, path)[0])
        return value

    def _call(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[bytes, int]:
        """The response's body, and how many of its bytes are JSON."""
        response, data = self._exchange(method, self._prefix + path, body, {**self._headers, **(headers or {})})
        if response.status >= 400:
            raise _error(response.status, response.reason, data, self.url)
        self.timings = _timings(response.headers.get("Server-Timing", ""))
        return data, int(response.headers.get("Inference-Header-Content-Length", len(data)))

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[http.client.HTTPResponse, bytes]:
        while True:
            reused = self._used
            self._used = True
            try:
                self._connection.request(method, path, body, dict(headers))
                response = self._connection.getresponse()
                return response, response.read()
            except (ConnectionError, http.client.HTTPException) as cause:
                self.close()
                # A server may close an idle connection just as it is used again: retried once, on a new one.
                if not reused:
                    reason = (cause.strerror if isinstance(cause, OSError) else None) or str(cause)
                    raise DeploymentError(
                        f"{self.url} cannot be reached: {reason or type(cause).__name__}; is a server running there?"
                    ) from cause
            except OSError as cause:
                self.close()
                raise DeploymentError(
                    f"{self.url} cannot be reached: {cause.strerror or cause}; is a server running there?"
                ) from cause


def infer(
    url: str,
    inputs: Mapping[str, Array],
    *,
    outputs: Sequence[str] | None = None,
    timeout_s: float = 60.0,
    token: Token | None = None,
) -> dict[str, Array]:
    """One request on a connection of its own; see ``Client``."""
    with Client(url, timeout_s=timeout_s, token=token) as client:
        return client.infer(inputs, outputs)


def _connection(url: str, timeout_s: float) -> http.client.HTTPConnection:
    kinds: dict[str, type[http.client.HTTPConnection]] = {
        "http": http.client.HTTPConnection,
        "https": http.client.HTTPSConnection,
    }
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        if parts.scheme in kinds and host and _is_plain(parts.path):
            host.encode("idna")  # raises here what connecting would raise later
            return kinds[parts.scheme](host, port, timeout=timeout_s)
    except (ValueError, http.client.InvalidURL) as cause:  # a UnicodeError is a ValueError
        raise UsageError(f"{url!r}: {cause}") from cause
    raise UsageError(f"{url} is no URL of a server: write http://HOST:PORT")


def _is_plain(path: str) -> bool:
    return path.isascii() and path.isprintable() and " " not in path


def _timings(header: str) -> dict[str, dict[str, float]]:
    """The gateway's ``Server-Timing``: ``f0;dur=1.5, f0-engine;dur=1.4, f0-waiting;dur=0.1``."""
    timings: dict[str, dict[str, float]] = {}
    for entry in header.split(","):
        name, found, duration = entry.strip().partition(";dur=")
        if found:
            function, _, part = name.partition("-")
            parts = timings.setdefault(function, {"held": 0.0, "engine": 0.0, "waiting": 0.0})
            parts[part or "held"] = parts.get(part or "held", 0.0) + float(duration)
    return timings


def _error(status: int, reason: str, data: bytes, url: str) -> Exception:
    try:
        message = str(json.loads(data)["error"])
    except (ValueError, KeyError, TypeError):
        message = f"{url} answered {status} {reason}"
    if status == 503:
        return OverloadedError(message)
    return RequestError(message, status) if status < 500 else DeploymentError(message)


def _outputs(body: bytes, header: int) -> dict[str, Array]:
    reply, view, arrays, at = json.loads(body[:header]), memoryview(body), {}, header
    for tensor in reply["outputs"]:
        name, shape, dtype = tensor["name"], tuple(tensor["shape"]), dtype_of_oip(tensor["datatype"])
        nbytes = tensor.get("parameters", {}).get("binary_data_size")
        if nbytes is None:
            arrays[name] = np.array(tensor["data"], numpy_dtype(dtype.name)).reshape(shape)
            continue
        arrays[name] = to_array(TensorValue(name, dtype.name, shape, view[at : at + nbytes]))
        at += nbytes
    return arrays
