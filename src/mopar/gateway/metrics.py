"""Prometheus metrics of each function."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from mopar.platforms.base import CallTiming

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class FunctionMetrics:
    """Calls, time and restarts by function."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter("mopar_function_calls", "Calls answered.", ["function"], registry=registry)
        self._retries = Counter(
            "mopar_function_retries", "Calls tried again because the worker died.", ["function"], registry=registry
        )
        self._restarts = Counter("mopar_function_restarts", "Workers started again.", ["function"], registry=registry)
        self._billed = Histogram(
            "mopar_function_billed_seconds",
            "From a call's arrival at the function to its answer.",
            ["function"],
            buckets=_BUCKETS,
            registry=registry,
        )

    def observe(self, timing: CallTiming) -> None:
        """Count a call."""
        self._calls.labels(timing.function).inc()
        self._retries.labels(timing.function).inc(timing.attempts - 1)
        self._billed.labels(timing.function).observe(timing.held_ns / 1e9)

    def restarted(self, function: str) -> None:
        """Count a restart of a worker."""
        self._restarts.labels(function).inc()
