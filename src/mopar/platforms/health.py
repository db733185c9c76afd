"""Whether a server of the Open Inference Protocol v2 says that it is ready."""

import http.client
from urllib.parse import urlsplit

_TIMEOUT_S = 5.0


def answers(url: str, timeout_s: float = _TIMEOUT_S) -> bool:
    """Whether the server at a URL, of itself or of one of its models, is ready to answer.

    ``url`` may have a path before ``/v2``, as behind a platform's gateway.
    """
    parts = urlsplit(url)
    path = parts.path.partition("/v2/")[0].rstrip("/")
    connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = connect(parts.netloc, timeout=timeout_s)
    try:
        connection.request("GET", f"{path}/v2/health/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
