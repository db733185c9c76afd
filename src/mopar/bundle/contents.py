"""Checks of a bundle's files: regular files inside its folder that match the manifest and refer to no other files.

A file is opened once and all checks use that descriptor, so that the checked bytes are the hashed bytes. A worker opens
the file again when it loads it: whoever can write to the folder in between can change the answers.
"""

import hashlib
import os
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from mopar.bundle.agreement import check_interface
from mopar.bundle.interface import GraphInterface, interface_of
from mopar.files import open_regular, sha256_of_open
from mopar.machine import available_bytes
from mopar.types import BundleError, FileEntry, GraphEntry

_MOST_GRAPH_BYTES = (1 << 31) - 1
"""Largest ONNX file that is read; protobuf allows less."""
_AGAIN = "build the bundle again"


def check_graph(root: Path, graph: GraphEntry, files: tuple[FileEntry, ...], *, digest: bool) -> None:
    """Check the files of a graph, portable or packed, against the manifest.

    Args:
        root: the bundle's folder.
        graph: the manifest's entry.
        files: the ONNX file, then its external data.
        digest: whether to read the files too, and check their digests and the ONNX file's inputs, outputs and
            external data.

    Raises:
        BundleError: a file is missing, was altered, is not a regular file, or is outside ``root``; or the graph
            contradicts the manifest or refers to other files.
    """
    for entry in files[1:]:
        check_file(root, entry, digest=digest)
    if not digest:
        check_file(root, files[0], digest=False)
        return
    path = _path(root, files[0])
    data = _graph_bytes(path, files[0])
    try:
        interface = interface_of(data)
        check_interface(graph, interface)
        _check_external(root, path, files, interface)
    except (ValueError, BundleError) as cause:
        raise BundleError(f"{path}: {cause}: {_AGAIN}") from cause


def check_file(root: Path, entry: FileEntry, *, digest: bool) -> None:
    """Check a file against its entry. Raises BundleError where it was altered or is outside ``root``."""
    path = _path(root, entry)
    try:
        with open_regular(path) as file:
            _check_kind(path, file, entry)
            same = not digest or sha256_of_open(file) == entry.sha256
    except OSError as cause:
        raise BundleError(f"{path}: {cause.strerror}: {_AGAIN}") from cause
    if not same:
        raise BundleError(f"{path}: not the file that was built: {_AGAIN}")


def _graph_bytes(path: Path, entry: FileEntry) -> bytes:
    """The contents of an ONNX file, read once, so that the same bytes are hashed and parsed."""
    try:
        with open_regular(path) as file:
            _check_kind(path, file, entry)
            if entry.bytes > min(_MOST_GRAPH_BYTES, available_bytes() // 2):
                raise BundleError(f"{path}: {entry.bytes} bytes in one ONNX file, more than there is room for")
            data = file.read(entry.bytes + 1)
    except OSError as cause:
        raise BundleError(f"{path}: {cause.strerror}: {_AGAIN}") from cause
    if len(data) != entry.bytes or hashlib.sha256(data).hexdigest() != entry.sha256:
        raise BundleError(f"{path}: not the file that was built: {_AGAIN}")
    return data


def _path(root: Path, entry: FileEntry) -> Path:
    relative = PurePosixPath(entry.path)
    path = root / relative
    if "\0" in entry.path or relative.is_absolute() or ".." in relative.parts or not _inside(root, path):
        raise BundleError(f"{root}: file {entry.path!r} lies outside the bundle: {_AGAIN}")
    return path


def _check_kind(path: Path, file: BinaryIO, entry: FileEntry) -> None:
    found = os.fstat(file.fileno())
    if found.st_nlink > 1:
        raise BundleError(f"{path}: it has several hard links, so others can change it: copy the bundle, or {_AGAIN}")
    if found.st_size != entry.bytes:
        raise BundleError(f"{path}: not the file that was built: {_AGAIN}")


def _check_external(root: Path, path: Path, files: tuple[FileEntry, ...], interface: GraphInterface) -> None:
    """Check that an ONNX file's external data files are those listed with it, and long enough."""
    home = os.path.dirname(os.path.realpath(path))  # noqa: PTH120 - the engine resolves locations relative to it
    listed = {os.path.realpath(root / entry.path): entry for entry in files[1:]}
    named = set()
    for item in interface.external:
        target = os.path.realpath(os.path.join(home, item.location))  # noqa: PTH118
        entry = listed.get(target)
        if entry is None or "\0" in item.location:
            raise BundleError(f"it names the file {item.location!r}, which the manifest does not list with it")
        if not Path(target).is_relative_to(home):
            raise BundleError(f"it names the file {item.location!r}, which lies outside its folder")
        if item.stop > entry.bytes:
            raise BundleError(f"it names {item.stop} bytes of the file {item.location!r}, which has {entry.bytes}")
        named.add(target)
    for target, entry in listed.items():
        if target not in named and entry.bytes:  # where all weights are small the file is empty
            raise BundleError(f"it does not name the file {entry.path!r}, which the manifest lists with it")


def _inside(root: Path, path: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))
