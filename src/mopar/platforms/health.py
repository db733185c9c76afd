"""Whether a server of the Open Inference Protocol v2 says that it is ready."""

import http.client
import time
from urllib.parse import urlsplit

_TIMEOUT_S = 5.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 0.5


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


def answers_within(url: str, timeout_s: float) -> bool:
    """Whether the server is ready before the time is over; asked again with growing pauses."""
    deadline, pause_s = time.monotonic() + timeout_s, _FIRST_PAUSE_S
    while not answers(url, max(min(_TIMEOUT_S, deadline - time.monotonic()), 0.001)):
        if time.monotonic() + pause_s > deadline:
            return False
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
    return True
