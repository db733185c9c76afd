"""Functions that run elsewhere, as the gateway is told of them: one JSON file.

    {"transport": "http", "functions": {"f0": ["http://10.0.0.5:8080"], "f1": ["http://10.0.0.6:8080/base"]}}

    {"transport": "aws-lambda", "functions": {"f0": ["resnet50-f0:live"]}, "concurrency": 100,
     "aws": {"region": "eu-central-1", "bucket": "my-models", "prefix": "mopar/resnet50/tensors/"}}

    {"transport": "aws-lambda", "functions": {"entry": ["resnet50-entry:live"]}, "entry": "entry"}

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
LAMBDA, LAMBDA_EMULATED = "aws-lambda", "aws-lambda-emulated"
"""Transports to functions of AWS Lambda."""


@dataclass(frozen=True, slots=True)
class AwsPlace:
    """What is to be known of functions on Lambda beside their names.

    Attributes:
        region: of the functions and the bucket; empty for that of the environment.
        profile: of the credentials; empty for the environment's.
        bucket: for tensors that no message holds; empty for none.
        prefix: of their keys, with a slash at its end.
    """

    region: str = ""
    profile: str = ""
    bucket: str = ""
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a deployment's functions are.

    Attributes:
        functions: function -> addresses of its replicas, at least one.
        transport: ``http``, with base URLs; ``socket``, with paths of sockets in a folder that this machine's
            containers share; ``aws-lambda``, with names or ARNs of functions of AWS Lambda, or URLs of emulators; or
            ``aws-lambda-emulated``, with folders of functions that the gateway runs on emulators of its own.
        ready_s: how long to wait until all of them answer.
        revisions: function -> what it must say that it was deployed as, so that none answers for its predecessor or
            its successor; without an entry it may say anything.
        concurrency: calls at a time of each replica, over HTTP and on Lambda.
        aws: where functions on Lambda are.
        entry: the one of them that runs the whole plan itself, and is alone called; empty where there is none.
    """

    functions: dict[str, tuple[str, ...]]
    transport: str = "http"
    ready_s: float = READY_S
    revisions: dict[str, str] = field(default_factory=dict)
    concurrency: int = 1
    aws: AwsPlace = field(default_factory=AwsPlace)
    entry: str = ""

    @property
    def needs_tls(self) -> bool:
        """Whether connections may be encrypted."""
        if not self.transport.startswith(LAMBDA):
            return False
        named = any("://" not in place for places in self.functions.values() for place in places)
        return bool(self.aws.bucket) or (named and self.transport == LAMBDA)


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
    if found.entry and not found.transport.startswith(LAMBDA):
        raise UsageError(f"{path}: entry {found.entry} is for {LAMBDA}, and the transport is {found.transport!r}")
    if found.concurrency < 1:
        raise UsageError(f"{path}: concurrency {found.concurrency}: write 1 or more")
    for name in [found.entry] if found.entry else [function.name for function in manifest.plan.functions]:
        if not found.functions.get(name):
            raise UsageError(f"{path if text is None else f'${FUNCTIONS_VARIABLE}'}: no address of function {name}")
    return found
