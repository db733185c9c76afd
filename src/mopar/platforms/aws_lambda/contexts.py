"""Build contexts of functions' images, for podman and docker: Lambda takes images of up to 10 GB."""

import hashlib
import os
import shutil
import ssl
from collections.abc import Mapping
from pathlib import Path

from mopar.bundle import Bundle
from mopar.files import swap_paths, temporary_folder
from mopar.platforms.aws_lambda.function_files import FunctionFiles
from mopar.platforms.aws_lambda.function_package import FunctionPackage
from mopar.platforms.aws_lambda.runtime_files import handler_command, runtime_tree
from mopar.platforms.aws_lambda.target import Target
from mopar.platforms.container.images.image import Image
from mopar.platforms.container.images.images import write_context
from mopar.platforms.container.images.layers import Layer, cached_layer, copy_tree, digest_of, place, settle, stamps_of
from mopar.platforms.container.images.paths import LIBRARIES
from mopar.platforms.container.images.python import PYTHON, python_layer
from mopar.types import Function, PlatformError, UsageError

TASK_ROOT = "/var/task"
"""Where Lambda has a function's files."""
CONTAINERFILE = "Containerfile"
_CERTIFICATES = "/etc/ssl/mopar-certificates.pem"
_OF_BASE_IMAGE = "python3"


def write_image(
    bundle: Bundle,
    function: Function,
    files: FunctionFiles,
    target: Target,
    base: str | None,
    variables: Mapping[str, str],
    into: Path,
) -> FunctionPackage:
    """Write the build context of a function's image; an earlier one in its place is replaced.

    Args:
        bundle: that the function is of.
        function: of its plan.
        files: its own.
        target: what it is made for.
        base: image with a python3 to build upon; None for this machine's own Python.
        variables: of its environment.
        into: the folder.

    Raises:
        UsageError: this machine's Python does not run there.
        PlatformError: Python cannot be taken from this machine.
        OSError: a file cannot be read or written.
    """
    layers = (*_shared_layers(target, base), _own_layer(function, files))
    image = Image(
        name=function.name,
        layers=layers,
        environment=dict(variables) | ({} if base else _environment()),
        command=tuple(handler_command(PYTHON if base is None else _OF_BASE_IMAGE, TASK_ROOT)),
        base=base,
        comment=f"Function {function.name} of {bundle.manifest.name}, for AWS Lambda on {target.architecture}.",
        entrypoint=True,
    )
    into.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(f".{into.name}.", into.parent) as staging:
        write_context(layers, {CONTAINERFILE: image.containerfile()}, staging)
        staging.chmod(0o755)
        if not into.exists():
            staging.rename(into)
        elif not swap_paths(staging, into):
            shutil.rmtree(into)
            staging.rename(into)
    digest = hashlib.sha256("\0".join([image.containerfile(), *(layer.digest for layer in layers)]).encode())
    return FunctionPackage(
        function=function.name,
        kind="image",
        path=into,
        packed_bytes=image.bytes,
        unpacked_bytes=image.bytes,
        sha256=digest.hexdigest(),
        architecture=target.architecture,
        runtime="",
        handler="",
        environment=variables,
        memory_mib=function.memory_mib,
        stored=files.stored,
    )


def _shared_layers(target: Target, base: str | None) -> tuple[Layer, ...]:
    """Python where ``base`` does not bring it, and what runs in every function."""
    own = base is None
    if own and target.architecture != _own_architecture():
        raise UsageError(
            f"images for {target.architecture} cannot have the Python of this {_own_architecture()} machine: add "
            "--base-image public.ecr.aws/lambda/python:3.12"
        )
    tree = runtime_tree(target, own_python=own)

    def make(into: Path) -> None:
        copy_tree(tree, into / TASK_ROOT.lstrip("/"))

    task = cached_layer("lambda-task", [str(tree)], make)
    return (python_layer(tls=True), _certificates_layer(), task) if own else (task,)


def _own_layer(function: Function, files: FunctionFiles) -> Layer:
    def write(into: Path) -> None:
        into.mkdir()
        for name, source in files.files.items():
            place(into, f"{TASK_ROOT}/{name}", source)
        settle(into)

    with temporary_folder("mopar-layer-") as folder:
        write(folder / "tree")
        digest = digest_of(folder / "tree")
    return Layer(f"function-{function.name}", digest, files.bytes, write)


def _certificates_layer() -> Layer:
    """This machine's certificate authorities, by which a function knows S3. Raises PlatformError."""
    paths = ssl.get_default_verify_paths()
    candidates = (paths.cafile, paths.openssl_cafile, "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/cert.pem")
    found = next((Path(path) for path in candidates if path and Path(path).is_file()), None)
    if found is None:
        raise PlatformError(
            "there are no certificate authorities here (ca-certificates): install them, or --base-image"
        )
    source = Path(os.path.realpath(found))
    return cached_layer("certificates", stamps_of([source]), lambda tree: place(tree, _CERTIFICATES, source))


def _environment() -> dict[str, str]:
    return {"LD_LIBRARY_PATH": LIBRARIES, "SSL_CERT_FILE": _CERTIFICATES}


def _own_architecture() -> str:
    return "arm64" if os.uname().machine == "aarch64" else "x86_64"
