"""The gateway's HTTP side: the Open Inference Protocol v2 and Prometheus metrics."""

from mopar.gateway.http.access import Access, access_for, is_loopback
from mopar.gateway.http.messages import HttpLimits
from mopar.gateway.http.server import serve

__all__ = ["Access", "HttpLimits", "access_for", "is_loopback", "serve"]
