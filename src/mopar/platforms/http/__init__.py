"""Calls to functions over their own HTTP doors, wherever these are: no platform in particular."""

from mopar.platforms.http.transport import HttpTransport
from mopar.platforms.http.watch import Fate, Watch

__all__ = ["Fate", "HttpTransport", "Watch"]
