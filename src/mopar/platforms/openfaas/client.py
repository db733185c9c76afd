"""A client of OpenFaaS's REST API."""

import base64
import time
from collections.abc import Callable, Sequence
from typing import TypeVar
from urllib.parse import quote

import msgspec

from mopar.files import JSON_ERRORS
from mopar.platforms.openfaas.wire import FunctionSpec, FunctionStatus, FunctionToDelete, ScaleTo
from mopar.platforms.rest import Answer, Rest
from mopar.types import PlatformError, UsageError

_T = TypeVar("_T")
_WHAT = "the OpenFaaS gateway"
_TRIES, _PAUSE_S = 3, 0.2
_HINTS = {
    "GET /system/functions": "its list of functions needs its Prometheus: see whether that runs",
    "GET /healthz": "see whether it runs there, and give its address with --gateway",
}


def _decode_list(body: bytes) -> list[FunctionStatus] | None:
    """``null`` is an empty list."""
    return msgspec.json.decode(body, type=list[FunctionStatus] | None)


def _decode_one(body: bytes) -> FunctionStatus:
    return msgspec.json.decode(body, type=FunctionStatus)


class OpenFaasClient:
    """Creates, changes and deletes functions.

    Args:
        url: of the OpenFaaS gateway.
        username, password: of its basic authentication; an empty password for none.
        namespace: of the functions; empty for the platform's default.
        timeout_s: for each request. Deleting a function that does not heed SIGTERM takes the platform 30 s.
    """

    def __init__(self, url: str, username: str, password: str, namespace: str = "", timeout_s: float = 60.0) -> None:
        headers = {"Content-Type": "application/json"}
        if password:
            pair = base64.b64encode(f"{username}:{password}".encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        self._rest = Rest(_WHAT, url, headers, timeout_s)
        self._namespace = namespace
        self.url = url

    def check_health(self) -> None:
        """Raise PlatformError where no OpenFaaS gateway is there."""
        answer = self._asked_again("/healthz")
        if not answer.ok:
            raise self._failed("it says that it is not healthy", answer)

    def functions(self) -> tuple[FunctionStatus, ...]:
        """All functions of the namespace. Raises PlatformError, UsageError."""
        path = "/system/functions"
        answer = self._accepted(self._asked_again(path, self._query()), "its functions cannot be listed")
        found: list[FunctionStatus] | None = self._decoded(answer, path, _decode_list)
        return tuple(found or ())

    def function(self, name: str) -> FunctionStatus | None:
        """A function; None where there is none. Raises PlatformError, UsageError."""
        path = f"/system/function/{quote(name)}"
        answer = self._asked_again(path, self._query())
        if answer.status == 404:
            return None
        return self._decoded(self._accepted(answer, f"it tells nothing of {name}"), path, _decode_one)

    def create(self, spec: FunctionSpec) -> None:
        """Create a function. Raises PlatformError, after which a function that does not run may be there."""
        self._change("POST", "/system/functions", self._placed(spec), f"function {spec.service} cannot be created")

    def update(self, spec: FunctionSpec) -> None:
        """Replace a function. Raises PlatformError."""
        self._change("PUT", "/system/functions", self._placed(spec), f"function {spec.service} cannot be updated")

    def delete(self, name: str) -> bool:
        """Delete a function; False where there is none. Raises PlatformError."""
        body = msgspec.json.encode(FunctionToDelete(name, self._namespace))
        answer = self._rest.ask("DELETE", "/system/functions", body)
        if answer.status == 404:
            return False
        self._accepted(answer, f"function {name} cannot be deleted")
        return True

    def scale(self, name: str, replicas: int) -> None:
        """Ask for a number of replicas, of which the platform may make fewer. Raises PlatformError."""
        path = f"/system/scale-function/{quote(name)}"
        self._change("POST", path, ScaleTo(name, replicas, self._namespace), f"function {name} cannot be scaled")

    def _placed(self, spec: FunctionSpec) -> FunctionSpec:
        return msgspec.structs.replace(spec, namespace=self._namespace)

    def _change(self, method: str, path: str, body: object, failure: str) -> None:
        self._accepted(self._rest.ask(method, path, msgspec.json.encode(body)), failure)

    def _query(self) -> str:
        return f"?namespace={quote(self._namespace)}" if self._namespace else ""

    def _asked_again(self, path: str, query: str = "") -> Answer:
        """The answer to a question that changes nothing, asked again where the connection breaks."""
        for left in reversed(range(_TRIES)):
            try:
                return self._rest.ask("GET", path + query)
            except PlatformError as error:
                if not left:
                    hint = _HINTS.get(f"GET {path}", "")
                    raise PlatformError(f"{error}: {hint}" if hint else str(error)) from error
                time.sleep(_PAUSE_S)
        raise AssertionError("unreachable")

    def _accepted(self, answer: Answer, failure: str) -> Answer:
        if answer.status in {401, 403}:
            raise UsageError(
                f"{_WHAT} at {self.url} refuses the user name or password ({answer.status}): "
                "see --username and --password-file"
            )
        if not answer.ok:
            raise self._failed(failure, answer)
        return answer

    def _failed(self, failure: str, answer: Answer) -> PlatformError:
        return PlatformError(f"{_WHAT} at {self.url}: {failure}: status {answer.status}: {answer.text()}")

    def _decoded(self, answer: Answer, path: str, decode: Callable[[bytes], _T]) -> _T:
        try:
            return decode(answer.body)
        except JSON_ERRORS as cause:
            why = cause if answer.body else "its body is empty"
            raise PlatformError(f"{_WHAT} at {self.url}: GET {path}: an answer that cannot be read: {why}") from cause


def names_of(functions: Sequence[FunctionStatus]) -> str:
    """Names of functions for a message."""
    return ", ".join(function.name for function in functions)
