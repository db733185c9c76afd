"""Packages of a bundle's functions: zip archives, or build contexts of container images.

Both have the same files in the same folder, ``/var/task``: ``function.json``, the graphs by their paths in the bundle,
``mopar/runtime``, ONNX Runtime's library, Blosc2's where tensors are sent encoded, and, of an archive, the
``bootstrap`` that starts them.
"""

import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mopar.bundle import Bundle
from mopar.bundle.sent_codecs import functions_that_encode
from mopar.files import require_room, sha256_of, storage_error, whole_file
from mopar.platforms.aws_lambda.archive import unpacked_bytes, write_archive
from mopar.platforms.aws_lambda.contexts import TASK_ROOT, write_image
from mopar.platforms.aws_lambda.function_files import Weights, function_files
from mopar.platforms.aws_lambda.function_package import HANDLER, RUNTIME, Architecture, FunctionPackage, PackageKind
from mopar.platforms.aws_lambda.runtime_files import handler_command, runtime_tree
from mopar.platforms.aws_lambda.target import Target, target_of
from mopar.runtime.environment import environment_of
from mopar.types import Function

BOOTSTRAP = "bootstrap"
_PYTHON = "/var/lang/bin/python3"


@dataclass(frozen=True, slots=True)
class Wrapped:
    """How Lambda is told to run an archive's ``bootstrap``: its API asks for a handler, and our own loop has none."""

    handler: str
    environment: Mapping[str, str]


WRAPPED = Wrapped("bootstrap.handler", {"AWS_LAMBDA_EXEC_WRAPPER": f"{TASK_ROOT}/{BOOTSTRAP}"})


@dataclass(frozen=True, slots=True)
class PackageSettings:
    """What packages are made for.

    Attributes:
        kind: of the packages.
        architecture: of the processors.
        base_image: with a python3, that images are built upon; None for this machine's Python.
        cpu_kind: of processors that graphs packed for it are added for; None for portable graphs alone.
        python: of Lambda's version, that compiles what functions import; None for the one that is found.
        weights: where functions fetch their weights; None where packages have them.
    """

    kind: PackageKind = "zip"
    architecture: Architecture = "x86_64"
    base_image: str | None = None
    cpu_kind: str | None = None
    python: Path | None = None
    weights: Weights | None = None


def make_packages(
    bundle: Bundle, settings: PackageSettings, into: Path, tell: Callable[[str], None]
) -> tuple[FunctionPackage, ...]:
    """Write a package of each function to a folder, in the plan's order.

    Args:
        bundle: what is packaged.
        settings: what for.
        into: the folder, which is made where it is not there.
        tell: is told of long work.

    Raises:
        UsageError: the settings do not fit the bundle.
        PlatformError: ONNX Runtime or Python cannot be had for the target.
        StorageError: a file cannot be read or written.
    """
    tell("collecting the runtime")
    target = target_of(settings.architecture, settings.python)
    if target.python is None and settings.kind == "zip":
        tell(f"no {RUNTIME} here to compile what functions import: each starts about 0.1 s later")
    try:
        into.mkdir(parents=True, exist_ok=True)
        return tuple(
            _package(bundle, function, settings, target, into, tell) for function in bundle.manifest.plan.functions
        )
    except OSError as cause:
        raise storage_error(cause) from cause


def _package(
    bundle: Bundle,
    function: Function,
    settings: PackageSettings,
    target: Target,
    into: Path,
    tell: Callable[[str], None],
) -> FunctionPackage:
    tell(f"packaging {function.name}")
    codecs = target.codecs() if function.name in functions_that_encode(bundle.manifest) else None
    files = function_files(bundle, function, target.library.name, settings.cpu_kind, settings.weights, codecs)
    variables = environment_of(bundle.manifest.allocator)
    require_room(into, files.bytes)
    if settings.kind == "image":
        return write_image(bundle, function, files, target, settings.base_image, variables, into / function.name)
    path = into / f"{function.name}.zip"
    with whole_file(path) as staging:
        shutil.copyfile(_runtime_archive(target), staging)
        write_archive(staging, files.files)
    return FunctionPackage(
        function=function.name,
        kind="zip",
        path=path,
        packed_bytes=path.stat().st_size,
        unpacked_bytes=unpacked_bytes(path),
        sha256=sha256_of(path),
        architecture=target.architecture,
        runtime=RUNTIME,
        handler=WRAPPED.handler,
        environment={**variables, **WRAPPED.environment},
        memory_mib=function.memory_mib,
        stored=files.stored,
    )


def _runtime_archive(target: Target) -> Path:
    """An archive of what every function has, which is kept: compressing it takes seconds. Raises OSError."""
    tree = runtime_tree(target)
    path = tree.with_name("runtime.zip")
    if not path.exists():
        files: dict[str, Path | bytes] = {
            file.relative_to(tree).as_posix(): file for file in tree.rglob("*") if file.is_file()
        }
        with whole_file(path) as staging:
            write_archive(staging, {**files, BOOTSTRAP: bootstrap(HANDLER)}, frozenset({BOOTSTRAP}))
    return path


def bootstrap(module: str) -> bytes:
    """What Lambda runs in place of its own runtime client, whose command line the arguments are."""
    return f"#!/bin/sh\nexec {shlex.join(handler_command(_PYTHON, TASK_ROOT, module))}\n".encode()
