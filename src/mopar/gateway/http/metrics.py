"""Prometheus metrics of the HTTP server."""

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from mopar.gateway.http.messages import Response

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class HttpMetrics:
    """The server's metrics in a registry. One server per registry: names are registered once."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._requests = Counter(
            "mopar_http_requests", "Responses, by route and HTTP status.", ["route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "mopar_http_request_duration_seconds",
            "From a whole request to its response sent.",
            ["route"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._rejections = Counter(
            "mopar_http_queue_rejections",
            "Requests turned away because the queue was full or too slow.",
            registry=registry,
        )
        self.in_flight = Gauge("mopar_http_requests_in_flight", "Requests being answered.", registry=registry)
        self.connections = Gauge("mopar_http_connections", "Open connections.", registry=registry)

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count a response that a route gave."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def refused(self, status: int) -> None:
        """Count an error response to what was not a complete request."""
        self._requests.labels("none", str(status)).inc()

    def rejected(self) -> None:
        """Count a request that the queue turned away."""
        self._rejections.inc()

    def exposition(self) -> Response:
        """Everything in the registry, as Prometheus text."""
        return Response(200, [generate_latest(self._registry)], CONTENT_TYPE_LATEST)
