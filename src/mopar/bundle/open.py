"""Opens a bundle, and checks that its files are unaltered and inside its folder."""

import os
from pathlib import Path

from mopar.bundle.consistency import check_manifest
from mopar.bundle.contents import check_graph
from mopar.bundle.folder import MANIFEST
from mopar.bundle.opened import WORKER, Bundle
from mopar.files import read_json
from mopar.types import BundleError, Manifest


def open_bundle(root: Path, *, check: bool = True, worker: str = WORKER) -> Bundle:
    """Read a bundle.

    Args:
        root: its folder.
        check: whether to check every file's SHA-256, and every graph's file against its name and the manifest; sizes
            and kinds of files are always checked.
        worker: the module that runs in its functions.

    Raises:
        BundleError: it is incomplete, altered, inconsistent or of another version, or refers to a file that is
            outside its folder or not a regular file.
    """
    if not root.is_dir():
        raise BundleError(f"{root}: no such bundle: make one with `mopar build`")
    if not (root / MANIFEST).exists():
        raise BundleError(f"{root}: no bundle, it has no {MANIFEST}: make one with `mopar build`")
    manifest = read_json(root / MANIFEST, Manifest, error=BundleError)
    check_manifest(manifest, str(root))
    for graph in manifest.graphs:
        for files in (graph.files, *([graph.packed.files] if graph.packed is not None else [])):
            check_graph(root, graph, files, digest=check)
            named = Path(os.path.realpath(root / files[0].path)).name
            if check and named != f"{graph.id}.onnx":  # else two could be swapped
                raise BundleError(f"{root}: {files[0].path} is not graph {graph.id}: build the bundle again")
    return Bundle(root, manifest, worker)
