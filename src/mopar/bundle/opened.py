"""An opened bundle: its manifest, and which of its files run on this machine."""

from dataclasses import dataclass, replace
from pathlib import Path

from mopar.machine import machine_facts
from mopar.types import EngineOptions, FileEntry, GraphEntry, Manifest

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

    def settled(self) -> "Bundle":
        """The same bundle with each graph's files for this machine chosen: it runs without asking for the machine."""
        graphs = []
        for graph in self.manifest.graphs:
            home, files, options = self._chosen(graph)
            placed = tuple(replace(entry, path=str(home.resolve() / entry.path)) for entry in files)
            graphs.append(replace(graph, files=placed, options=options, packed=None))
        return replace(self, manifest=replace(self.manifest, graphs=tuple(graphs)), packed_root=None)

    def _chosen(self, graph: GraphEntry) -> tuple[Path, tuple[FileEntry, ...], EngineOptions]:
        packed = graph.packed
        if packed is not None and fits_machine(packed.cpu_kind, packed.onnxruntime):
            return self.packed_root or self.root, packed.files, packed.options
        return self.root, graph.files, graph.options


def fits_machine(cpu_kind: str, onnxruntime: str) -> bool:
    """Whether a packed graph can be loaded here: the layout of its weights depends on CPU kind and engine version."""
    facts = machine_facts()
    return facts.cpu_kind == cpu_kind and facts.onnxruntime == onnxruntime


def graph_digest(graph: GraphEntry) -> str:
    """What tells a graph of a manifest from others of its name: the digests of its portable files."""
    return "-".join(entry.sha256 for entry in graph.files)
