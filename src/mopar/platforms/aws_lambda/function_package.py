"""What Lambda is given of one function: an archive or an image's build context, and how it is run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Architecture = Literal["x86_64", "arm64"]
"""As Lambda names them."""
PackageKind = Literal["zip", "image"]
RUNTIME = "python3.12"
"""Lambda's managed runtime that zips run on: the first whose C library is new enough for ONNX Runtime's wheels."""
HANDLER = "mopar.runtime.aws_lambda.start"
"""The module that runs in functions of a plan."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that is no part of a package: the function fetches it from a bucket when it starts.

    Attributes:
        path: on this machine, to be uploaded before the function is made.
        key: of the object.
        bytes, sha256: of the file; the function checks both.
    """

    path: Path
    key: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class FunctionPackage:
    """A function as it is handed to Lambda.

    Attributes:
        function: as the plan names it.
        kind: what ``path`` is.
        path: the archive, or the folder of an image's build context with a ``Containerfile``.
        packed_bytes: that are sent: of the archive; of an image's files, before the registry compresses them.
        unpacked_bytes: of all files, as Lambda counts them; of an image without its base.
        sha256: of the archive, or of an image's layers and Containerfile; the same for the same bundle.
        architecture: of the processors that it runs on.
        runtime: Lambda's name of it; empty for images.
        handler: what Lambda's API asks for; the code does not use it. Empty for images.
        environment: variables that it needs.
        memory_mib: to be bought, as planned.
        stored: files that have to be in the bucket.
        module: of mopar, that runs in it.
    """

    function: str
    kind: PackageKind
    path: Path
    packed_bytes: int
    unpacked_bytes: int
    sha256: str
    architecture: Architecture
    runtime: str
    handler: str
    environment: Mapping[str, str] = field(default_factory=dict)
    memory_mib: int = 128
    stored: tuple[StoredFile, ...] = ()
    module: str = HANDLER
