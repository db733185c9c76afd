"""The HTTP transport: calls to functions that serve HTTP themselves, on any platform."""

from mopar.platforms.http.polled import Polled
from mopar.platforms.http.transport import HttpTransport
from mopar.platforms.http.watch import Fate, Watch

__all__ = ["Fate", "HttpTransport", "Polled", "Watch"]
