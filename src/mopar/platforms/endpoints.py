"""Functions that run elsewhere, as the gateway is told of them: one JSON file.

    {"transport": "http", "functions": {"f0": ["http://10.0.0.5:8080"], "f1": ["http://10.0.0.6:8080/base"]}}

``mopar serve BUNDLE --functions FILE.json`` serves with them. A function's addresses are its replicas; where a platform
runs several behind one address, it is there as often.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from mopar.files import from_json, read_json
from mopar.types import Manifest, UsageError

READY_S = 60.0
FUNCTIONS_VARIABLE = "MOPAR_FUNCTIONS"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a deployment's functions are.

    Attributes:
        functions: function -> addresses of its replicas, at least one.
        transport: ``http``, with base URLs; or ``socket``, with paths of sockets in a folder that this machine's
            containers share.
        ready_s: how long to wait until all of them answer.
        revisions: function -> what it must say that it was deployed as, so that none answers for its predecessor or
            its successor; without an entry it may say anything.
    """

    functions: dict[str, tuple[str, ...]]
    transport: str = "http"
    ready_s: float = READY_S
    revisions: dict[str, str] = field(default_factory=dict)


def read_endpoints(path: Path, manifest: Manifest) -> Endpoints:
    """The endpoints in a file, or those of the environment variable ``FUNCTIONS_VARIABLE``, which platforms set.

    Raises:
        UsageError: the text is none, or lacks a function of the manifest's plan.
    """
    text = os.environ.get(FUNCTIONS_VARIABLE)
    if text is None:
        found = read_json(path, Endpoints, error=UsageError)
    else:
        found = from_json(text.encode(), Endpoints, what=f"${FUNCTIONS_VARIABLE}", error=UsageError)
    for function in manifest.plan.functions:
        if not found.functions.get(function.name):
            raise UsageError(
                f"{path if text is None else f'${FUNCTIONS_VARIABLE}'}: no address of function {function.name}"
            )
    return found
