"""Provisioned concurrency, which moto has not: ready at the second look, as on Lambda after a while."""

from typing import Any

from botocore.exceptions import ClientError

_MISSING = "ProvisionedConcurrencyConfigNotFoundException"


class ProvisionedConcurrency:
    """What is asked for: (function, version) -> instances."""

    def __init__(self) -> None:
        self.configs: dict[tuple[str, str], int] = {}
        self._looks: dict[tuple[str, str], int] = {}

    def put(self, request: dict[str, Any]) -> dict[str, Any]:
        place = request["FunctionName"], request["Qualifier"]
        self.configs[place] = request["ProvisionedConcurrentExecutions"]
        self._looks[place] = 0
        return {"Status": "IN_PROGRESS"}

    def get(self, request: dict[str, Any]) -> dict[str, Any]:
        place = request["FunctionName"], request["Qualifier"]
        if place not in self.configs:
            raise ClientError({"Error": {"Code": _MISSING, "Message": "none"}}, "GetProvisionedConcurrencyConfig")
        self._looks[place] += 1
        status = "READY" if self._looks[place] > 1 else "IN_PROGRESS"
        return {"Status": status, "RequestedProvisionedConcurrentExecutions": self.configs[place]}

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        self.configs.pop((request["FunctionName"], request["Qualifier"]), None)
        return {"ok": True}
