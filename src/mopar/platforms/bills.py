"""What a platform has billed for the calls of a deployment, as its gateway counts it."""

import http.client
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from mopar.platforms.base import CALLS, COST_DOLLARS, INVOICED_SECONDS
from mopar.platforms.gateways import GatewayRecord
from mopar.types.deployed import Billed

_TIMEOUT_S = 5.0
_SAMPLE = re.compile(r'^(\w+)\{function="([^"]+)"\} (\S+)$', re.MULTILINE)


def billed_of(record: GatewayRecord) -> Mapping[str, Billed]:
    """Function -> what was billed for it since the gateway was started; nothing where the gateway does not answer."""
    text = _metrics(record)
    found: dict[str, dict[str, float]] = {CALLS: {}, INVOICED_SECONDS: {}, COST_DOLLARS: {}}
    for name, function, number in _SAMPLE.findall(text):
        if name in found:
            found[name][function] = float(number)
    return {
        function: Billed(int(calls), round(found[INVOICED_SECONDS].get(function, 0.0) * 1e3, 3), cost)
        for function, calls in found[CALLS].items()
        if (cost := found[COST_DOLLARS].get(function)) is not None
    }


def _metrics(record: GatewayRecord) -> str:
    files = [word.partition("=")[2] for word in record.words if word.startswith("--token-file=")]
    connection = http.client.HTTPConnection(urlsplit(record.url).netloc, timeout=_TIMEOUT_S)
    try:
        headers = {"Authorization": f"Bearer {Path(files[0]).read_text().strip()}"} if files else {}
        connection.request("GET", "/metrics", headers=headers)
        return connection.getresponse().read().decode(errors="replace")
    except (OSError, ValueError, http.client.HTTPException):
        return ""
    finally:
        connection.close()
