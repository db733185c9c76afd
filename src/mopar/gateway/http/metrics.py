"""Prometheus metrics of the HTTP server."""

from mopar.gateway.http.messages import Response
from mopar.gateway.prometheus import CONTENT_TYPE, Counter, Gauge, Histogram, Registry

_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class HttpMetrics:
    """The server's metrics in a registry. One server per registry: names are registered once.

    Attributes:
        in_flight: requests being answered.
        connections: open connections.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._requests = Counter(
            "mopar_http_requests_total", "Responses, by route and HTTP status.", ["route", "status"]
        )
        self._seconds = Histogram(
            "mopar_http_request_duration_seconds", "From a whole request to its response sent.", ["route"], _BOUNDS_S
        )
        self._rejections = Counter(
            "mopar_http_queue_rejections_total", "Requests turned away because the queue was full or too slow."
        )
        self.in_flight = Gauge("mopar_http_requests_in_flight", "Requests being answered.")
        self.connections = Gauge("mopar_http_connections", "Open connections.")
        registry.add(self._requests, self._seconds, self._rejections, self.in_flight, self.connections)

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count a response that a route gave."""
        self._requests.add(route, str(status))
        self._seconds.observe(seconds, route)

    def refused(self, status: int) -> None:
        """Count an error response to what was not a complete request."""
        self._requests.add("none", str(status))

    def rejected(self) -> None:
        """Count a request that the queue turned away."""
        self._rejections.add()

    def exposition(self) -> Response:
        """Everything in the registry, as Prometheus text."""
        return Response(200, [self._registry.exposition()], CONTENT_TYPE)
