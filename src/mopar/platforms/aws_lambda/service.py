"""How functions are invoked: at Lambda's own API, or at Amazon's runtime interface emulator."""

import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import msgspec

from mopar.files import JSON_ERRORS
from mopar.platforms.aws_lambda.calls import LambdaCalls
from mopar.platforms.aws_lambda.errors import one_line, refused
from mopar.platforms.aws_lambda.faults import fault_of, text_of
from mopar.platforms.aws_lambda.place import PATH, function_path
from mopar.platforms.http.address import Address, address_of
from mopar.platforms.http.connection import Reply
from mopar.platforms.http.wire import Claim, LaterError, LostError, Parts, SlowError
from mopar.platforms.request_codes import PlanCodes
from mopar.runtime.aws_lambda.wire import MOST_BODY_BYTES
from mopar.types import DeploymentError, RequestError

if TYPE_CHECKING:  # digests and signatures: emulators do without
    from mopar.platforms.aws_lambda.signed import Signer
    from mopar.platforms.aws_lambda.tensors import TensorStore

_MOST_FAULT_BYTES = 64 << 10
_BUSY = frozenset({409, 429, 503})
"""Throttled, not ready yet, or not reached: nothing has run."""
_FAILED = frozenset({500, 502, 504})
_STARVED = re.compile(r"signal: killed|OutOfMemory")
_SLOW = re.compile(r"[Tt]imed out")
_REQUEST = re.compile(r"RequestId: [0-9a-f-]+ (Error: )?")


class _Refusal(msgspec.Struct):
    """What Lambda says where it refuses a request."""

    Type: str = ""
    Message: str = ""
    message: str = ""
    Reason: str = ""


class Invoking(ABC):
    """Implements ``Wire`` for functions that take the envelope of ``mopar.runtime.aws_lambda``.

    Args:
        store: for tensors that no message holds; None for none.
        codes: which tensors are sent encoded, and which leave the functions.
        pointers: whether stored outputs are named, and stay where they are; otherwise they are got and deleted.
    """

    most_unannounced_bytes = MOST_BODY_BYTES + _MOST_FAULT_BYTES

    def __init__(self, store: "TensorStore | None", codes: PlanCodes, *, pointers: bool = False) -> None:
        self.store = store
        self._codes = codes
        self._pointers = pointers

    @abstractmethod
    def address(self, place: str) -> Address:
        """Where a function is called."""

    @abstractmethod
    def head(self, address: Address, graph: str, parts: Parts) -> bytes:
        """The head of an invocation."""

    @abstractmethod
    def judge(self, function: str, reply: Reply) -> None:
        """Raise where the answer is no function's."""

    def open(self, claim: Claim) -> LambdaCalls:
        """For the calls of one request."""
        return LambdaCalls(self.store, self._codes, claim, pointers=self._pointers)

    async def close(self) -> None:
        """End what is being deleted."""
        if self.store is not None:
            await self.store.close()


class EmulatorWire(Invoking):
    """The runtime interface emulator, which takes one call at a time.

    It answers 200 whatever happens, and where a function does not answer, with a text of its own. What ended the
    function, it does not know.
    """

    def address(self, place: str) -> Address:
        """Of a URL."""
        found = address_of(place)
        return Address(found.host, found.port, found.netloc, f"{found.path}{PATH}function/invocations")

    def head(self, address: Address, graph: str, parts: Parts) -> bytes:  # noqa: ARG002 - the message names it
        """Without a signature."""
        length = sum(map(len, parts))
        return f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {length}\r\n\r\n".encode()

    def judge(self, function: str, reply: Reply) -> None:  # noqa: ARG002 - of the Protocol
        """By what the answer says."""
        if reply.status != 200:
            raise LostError(f"was lost (status {reply.status}: {text_of(reply.body)})")
        if (fault := fault_of(reply.body)) is not None:
            raise _lost(fault, starving=False)


class ServiceWire(Invoking):
    """Lambda's API.

    Args:
        service: where Lambda is asked.
        signer: signs for it.
        store: for tensors that no message holds; None for none.
        codes, pointers: as of ``Invoking``.
    """

    def __init__(
        self,
        service: Address,
        signer: "Signer",
        store: "TensorStore | None",
        codes: PlanCodes,
        *,
        pointers: bool = False,
    ) -> None:
        super().__init__(store, codes, pointers=pointers)
        self._service = service
        self._signer = signer

    def address(self, place: str) -> Address:
        """Of a function's name or ARN."""
        name, query = function_path(place)
        at = self._service
        path = f"{at.path}{PATH}{name}/invocations"
        return Address(at.host, at.port, at.netloc, f"{path}?{query}" if query else path, at.tls)

    def head(self, address: Address, graph: str, parts: Parts) -> bytes:  # noqa: ARG002 - the message names it
        """With a signature of now."""
        path, _, query = address.path.partition("?")
        return self._signer.head("POST", address, path, parts, query=query)

    def judge(self, function: str, reply: Reply) -> None:
        """By status and headers."""
        if reply.status == 200:
            if "x-amz-function-error" in reply.headers:
                raise _lost(fault_of(reply.body) or reply.headers["x-amz-function-error"], starving=True)
            return
        code, text = _refusal_of(reply)
        if reply.status in _BUSY:
            raise LaterError(f"{code}: {text}")
        if reply.status == 403 and self._signer.may_try_again(code):
            raise LaterError("the credentials had expired")
        if reply.status in _FAILED:
            raise LostError(f"was lost (Lambda answered {reply.status} {code}: {text})")
        if reply.status == 413:
            raise RequestError(f"function {function}: Lambda takes no message of this size: {text}", 413)
        raise DeploymentError(str(refused(code, text, "lambda", "Invoke", "Lambda")))


def _lost(fault: str, *, starving: bool) -> Exception:
    """The error of a function that did not answer.

    Args:
        fault: what is said about it.
        starving: whether a killed function had too little memory, as on Lambda, where nothing else kills it.
    """
    text = one_line(_REQUEST.sub("", fault))
    if _SLOW.search(fault):
        return SlowError(f"it was ended at its time-out ({text})")
    if starving and _STARVED.search(fault):
        return LostError(f"ran out of memory and was killed ({text})", starved=True)
    return LostError(f"died ({text})")


def _refusal_of(reply: Reply) -> tuple[str, str]:
    """What Lambda calls a refusal, and its text."""
    code = reply.headers.get("x-amzn-errortype", "").partition(":")[0]
    try:
        found = msgspec.json.decode(reply.body, type=_Refusal)
    except JSON_ERRORS:
        return code or str(reply.status), text_of(reply.body)
    return code or found.Type or str(reply.status), one_line(found.Message or found.message or found.Reason)
