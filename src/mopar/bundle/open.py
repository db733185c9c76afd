"""Opens a bundle, and checks that its files are unaltered and inside its folder."""

import os
from dataclasses import dataclass
from pathlib import Path

from mopar.bundle.consistency import check_manifest
from mopar.bundle.contents import check_graph
from mopar.bundle.folder import MANIFEST
from mopar.files import read_json
from mopar.machine import machine_facts
from mopar.types import BundleError, EngineOptions, FileEntry, GraphEntry, Manifest

WORKER = "mopar.runtime.worker"
"""The module whose ``main`` runs in each function."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A built plan in the folder ``root``.

    ``worker`` is the module that runs in each function. The caller chooses it; it is never read from the bundle,
    which is data and must not name code. ``packed_root`` is the folder of the packed files where that is not
    ``root`` (see ``prepare``).
    """

    root: Path
    manifest: Manifest
    worker: str = WORKER
    packed_root: Path | None = None

    def graphs_of(self, function: str) -> tuple[GraphEntry, ...]:
        """The graphs that a function loads; calls refer to them by their index in this order."""
        return tuple(graph for graph in self.manifest.graphs if graph.function == function)

    def runnable(self, graph: GraphEntry) -> tuple[Path, EngineOptions]:
        """The graph's file for this machine: the packed one where CPU kind and engine version match."""
        home, files, options = self._chosen(graph)
        return home / files[0].path, options

    def files_of(self, function: str) -> tuple[Path, ...]:
        """Every file of the bundle that a function's worker reads on this machine."""
        chosen = [self._chosen(graph) for graph in self.graphs_of(function)]
        return tuple(home / entry.path for home, files, _ in chosen for entry in files)

    def _chosen(self, graph: GraphEntry) -> tuple[Path, tuple[FileEntry, ...], EngineOptions]:
        packed = graph.packed
        if packed is not None and fits_machine(packed.cpu_kind, packed.onnxruntime):
            return self.packed_root or self.root, packed.files, packed.options
        return self.root, graph.files, graph.options


def fits_machine(cpu_kind: str, onnxruntime: str) -> bool:
    """Whether a packed graph can be loaded here: the layout of its weights depends on CPU kind and engine version."""
    facts = machine_facts()
    return facts.cpu_kind == cpu_kind and facts.onnxruntime == onnxruntime


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
