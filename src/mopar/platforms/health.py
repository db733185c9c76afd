"""Whether a server of the Open Inference Protocol v2 says that it is ready."""

import http.client
from urllib.parse import urlsplit

from mopar.platforms.http.health import REVISION_HEADER

_TIMEOUT_S = 5.0


def answers(url: str, timeout_s: float = _TIMEOUT_S, revision: str = "") -> bool:
    """Whether the server at a URL, of itself or of one of its models, is ready to answer.

    Args:
        url: it may have a path before ``/v2``, as behind a platform's gateway.
        timeout_s: for connecting, and for each wait for data.
        revision: what a function must say that it was deployed as; empty for anything.
    """
    parts = urlsplit(url)
    path = parts.path.partition("/v2/")[0].rstrip("/")
    connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = connect(parts.netloc, timeout=timeout_s)
    try:
        connection.request("GET", f"{path}/v2/health/ready")
        response = connection.getresponse()
        return response.status == 200 and (not revision or response.getheader(REVISION_HEADER) == revision)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
