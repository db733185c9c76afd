"""AWS as deployments ask it: through boto3, each request with a deadline, its answer typed, its error in one line."""

import importlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec

from mopar.platforms.aws_lambda.errors import NotFoundError, RoleNotReadyError, TransientError, one_line, refused
from mopar.platforms.aws_lambda.naming import Place
from mopar.types import MoparError, PlatformError, UsageError

T = TypeVar("T")

_CONNECT_S, _READ_S = 10.0, 120.0
_RETRY_S = 90.0
"""How long a request that meets throttling is repeated, beyond what the SDK does by itself."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 8.0


class Nothing(msgspec.Struct):
    """An answer of which nothing is wanted."""


class _Identity(msgspec.Struct, rename="pascal"):
    account: str
    arn: str


class Account:
    """The account and region that a deployment is in.

    Args:
        region, profile: as the options have them; empty for what the environment says.
        retry_s: how long throttled requests are repeated.

    Raises:
        UsageError: boto3 is not installed, or there is no such profile or region.
    """

    def __init__(self, region: str, profile: str, retry_s: float = _RETRY_S) -> None:
        self._boto3 = _module("boto3")
        self._exceptions = importlib.import_module("botocore.exceptions")
        self._clients: dict[str, Any] = {}
        self._retry_s = retry_s
        try:
            self._session = self._boto3.Session(
                profile_name=profile or None, region_name=region or os.environ.get("AWS_REGION") or None
            )
        except self._exceptions.BotoCoreError as cause:
            raise UsageError(f"--profile {profile}: {one_line(str(cause))}") from cause
        if not self._session.region_name:
            raise UsageError("no region is named: --region, $AWS_REGION, or the profile's")
        self.region: str = self._session.region_name
        self._place: Place | None = None

    @property
    def place(self) -> Place:
        """Where it is: asking for it shows that the credentials are good. Raises UsageError, PlatformError."""
        if self._place is None:
            found = self.ask("sts", "get_caller_identity", "your credentials", _Identity)
            self._place = Place(found.arn.split(":")[1], self.region, found.account)
        return self._place

    def ask(self, service: str, operation: str, what: str, kind: type[T], **parameters: object) -> T:
        """Ask for something and return the part of the answer that ``kind`` describes.

        Args:
            service: of AWS, as boto3 names it.
            operation: of its client.
            what: it is about, for messages.
            kind: a struct of the answer's fields.
            parameters: of the operation.

        Raises:
            NotFoundError: there is no such thing.
            UsageError, PlatformError: credentials, rights, limits or the network are in the way; one line.
        """
        answer = self._answer(service, operation, what, parameters)
        return msgspec.convert(answer, kind, strict=False)

    def find(self, service: str, operation: str, what: str, kind: type[T], **parameters: object) -> T | None:
        """The same; None where there is no such thing."""
        try:
            return self.ask(service, operation, what, kind, **parameters)
        except NotFoundError:
            return None

    def pages(self, service: str, operation: str, what: str, kind: type[T], **parameters: object) -> Iterator[T]:
        """The same for a list that comes in pages. Raises PlatformError."""
        found = self._client(service).get_paginator(operation).paginate(**parameters)
        pages = iter(found)
        while (page := self._repeated(service, operation, what, lambda: next(pages, None))) is not None:
            yield msgspec.convert(page, kind, strict=False)

    def body(self, service: str, operation: str, what: str, field: str, **parameters: object) -> tuple[bytes, str]:
        """The bytes of an answer's stream, and its ``FunctionError`` or an empty text. Raises PlatformError."""
        answer = self._answer(service, operation, what, parameters)
        return answer[field].read(), str(answer.get("FunctionError", ""))

    def _answer(self, service: str, operation: str, what: str, parameters: dict[str, object]) -> Any:
        call = getattr(self._client(service), operation)
        return self._repeated(service, operation, what, lambda: call(**parameters))

    def _repeated(self, service: str, operation: str, what: str, call: Callable[[], Any]) -> Any:
        """What a call returns; throttled ones are repeated within a deadline."""
        deadline, pause_s = time.monotonic() + self._retry_s, _FIRST_PAUSE_S
        while True:
            try:
                return self._tried(service, operation, what, call)
            except TransientError as error:
                if time.monotonic() + pause_s > deadline:
                    raise PlatformError(f"{error} (tried for {self._retry_s:g} s)") from error
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _tried(self, service: str, operation: str, what: str, call: Callable[[], Any]) -> Any:
        exceptions = self._exceptions
        try:
            return call()
        except exceptions.ClientError as cause:
            error, name = cause.response.get("Error", {}), cause.operation_name
            raise refused(error.get("Code", ""), error.get("Message", ""), service, name, what) from cause
        except exceptions.ParamValidationError as cause:
            raise PlatformError(f"{what}: {service}:{operation}: {one_line(str(cause))}") from cause
        except exceptions.BotoCoreError as cause:
            raise self._unsent(cause, service, what) from cause

    def _unsent(self, cause: Exception, service: str, what: str) -> MoparError:
        """The error of a request that got no answer."""
        exceptions = self._exceptions
        if isinstance(cause, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
            return UsageError(
                "no AWS credentials: set $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY, or name a --profile of "
                "~/.aws/config"
            )
        name = type(cause).__name__
        if "SSO" in name or "Token" in name or "Credential" in name:
            return UsageError(f"the credentials cannot be had ({name}): {one_line(str(cause))}: try aws sso login")
        if isinstance(cause, exceptions.EndpointConnectionError | exceptions.ConnectTimeoutError):
            return PlatformError(
                f"{service} cannot be reached in {self.region}: is there such a region with that service, and does "
                f"the network lead there? ({one_line(str(cause))})"
            )
        if isinstance(cause, exceptions.ReadTimeoutError):
            return PlatformError(f"{what}: {service} did not answer within {_READ_S:g} s")
        return PlatformError(f"{what}: {service}: {one_line(str(cause))}")

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            config = importlib.import_module("botocore.config").Config(
                connect_timeout=_CONNECT_S,
                read_timeout=_READ_S,
                retries={"mode": "standard", "max_attempts": 4},
                user_agent_extra="mopar",
            )
            try:
                self._clients[service] = self._session.client(service, config=config)
            except (self._exceptions.BotoCoreError, ValueError) as cause:  # ValueError: an endpoint that is no URL
                raise UsageError(f"{service} in {self.region}: {one_line(str(cause))}") from cause
        return self._clients[service]


def when_role_is_known(call: Callable[[], T], within_s: float) -> T:
    """What a call returns that needs a role which was just made: it takes seconds until Lambda may assume it.

    Raises:
        PlatformError: it may not within that time, or something else is in the way.
    """
    deadline, pause_s = time.monotonic() + within_s, _FIRST_PAUSE_S
    while True:
        try:
            return call()
        except RoleNotReadyError as error:
            if time.monotonic() + pause_s > deadline:
                raise PlatformError(f"{error} (tried for {within_s:g} s)") from error
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as cause:
        raise UsageError("the platform aws-lambda needs boto3: pip install 'mopar[aws]'") from cause
