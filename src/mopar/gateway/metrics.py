"""Prometheus metrics of each function."""

from mopar.gateway.prometheus import Counter, Histogram, Registry
from mopar.platforms.base import CALLS, COST_DOLLARS, INVOICED_SECONDS, Bill, CallTiming

_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_BY = ("function",)


class FunctionMetrics:
    """Calls, time and restarts by function."""

    def __init__(self, registry: Registry) -> None:
        self._calls = Counter(CALLS, "Calls answered.", _BY)
        self._retries = Counter("mopar_function_retries_total", "Calls tried again because the worker died.", _BY)
        self._restarts = Counter("mopar_function_restarts_total", "Workers started again.", _BY)
        self._billed = Histogram(
            "mopar_function_billed_seconds", "From a call's arrival at the function to its answer.", _BY, _BOUNDS_S
        )
        self._invoiced = Counter(INVOICED_SECONDS, "Duration that the functions' platform bills.", _BY)
        self._cost = Counter(COST_DOLLARS, "Price of the calls, by the platform's price book.", _BY)
        registry.add(self._calls, self._retries, self._restarts, self._billed, self._invoiced, self._cost)

    def observe(self, timing: CallTiming) -> None:
        """Count a call."""
        self._calls.add(timing.function)
        self._retries.add(timing.function, by=timing.attempts - 1)
        self._billed.observe(timing.held_ns / 1e9, timing.function)
        if timing.bill is not None:
            self._bill(timing.function, timing.bill)
            for function, bill in timing.bill.inner:
                self._calls.add(function)
                self._bill(function, bill)

    def _bill(self, function: str, bill: Bill) -> None:
        self._invoiced.add(function, by=bill.ms / 1e3)
        self._cost.add(function, by=bill.usd)

    def restarted(self, function: str) -> None:
        """Count a restart of a worker."""
        self._restarts.add(function)
