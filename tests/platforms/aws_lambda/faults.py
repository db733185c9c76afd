"""Requests that AWS refuses: the n-th of an operation, with an error as the service has it."""

import contextlib
from collections.abc import Iterator
from typing import Any

from botocore.client import BaseClient
from botocore.exceptions import ClientError


@contextlib.contextmanager
def failing(
    operation: str, code: str, message: str = "so it is", *, first: int = 1, last: int = 1000, **expected: Any
) -> Iterator[list[dict[str, Any]]]:
    """Refuse the ``first`` to ``last`` request of an operation, such as ``CreateFunction``.

    Args:
        operation: of any service.
        code, message: of the error.
        first, last: which requests are refused, of those with the parameters ``expected``.
        expected: parameters that a request must have to be counted.

    Yields:
        The parameters of the counted requests.
    """
    seen: list[dict[str, Any]] = []
    real = BaseClient._make_api_call

    def call(self: BaseClient, name: str, parameters: dict[str, Any]) -> Any:
        if name == operation and all(parameters.get(key) == value for key, value in expected.items()):
            seen.append(parameters)
            if first <= len(seen) <= last:
                answer: Any = {
                    "Error": {"Code": code, "Message": message},
                    "ResponseMetadata": {"HTTPStatusCode": 400, "RequestId": "r"},
                }
                raise ClientError(answer, name)
        return real(self, name, parameters)

    BaseClient._make_api_call = call
    try:
        yield seen
    finally:
        BaseClient._make_api_call = real
