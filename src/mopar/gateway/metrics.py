"""Prometheus metrics of each function."""

from mopar.gateway.prometheus import Counter, Histogram, Registry
from mopar.platforms.base import CallTiming

_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_BY = ("function",)


class FunctionMetrics:
    """Calls, time and restarts by function."""

    def __init__(self, registry: Registry) -> None:
        self._calls = Counter("mopar_function_calls_total", "Calls answered.", _BY)
        self._retries = Counter("mopar_function_retries_total", "Calls tried again because the worker died.", _BY)
        self._restarts = Counter("mopar_function_restarts_total", "Workers started again.", _BY)
        self._billed = Histogram(
            "mopar_function_billed_seconds", "From a call's arrival at the function to its answer.", _BY, _BOUNDS_S
        )
        registry.add(self._calls, self._retries, self._restarts, self._billed)

    def observe(self, timing: CallTiming) -> None:
        """Count a call."""
        self._calls.add(timing.function)
        self._retries.add(timing.function, by=timing.attempts - 1)
        self._billed.observe(timing.held_ns / 1e9, timing.function)

    def restarted(self, function: str) -> None:
        """Count a restart of a worker."""
        self._restarts.add(function)
