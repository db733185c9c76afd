"""Bundles with manifests and files changed after the build."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from mopar.bundle import MANIFEST, Bundle, open_bundle
from mopar.files import to_json
from mopar.types import FileEntry, GraphEntry, Manifest


def rewrite(bundle: Bundle, change: Callable[[Manifest], Manifest]) -> None:
    """Rewrite the bundle's manifest with a change."""
    (bundle.root / MANIFEST).write_bytes(to_json(change(bundle.manifest)))


def first_graph(change: Callable[[GraphEntry], GraphEntry]) -> Callable[[Manifest], Manifest]:
    """Change the first graph."""
    return lambda manifest: dataclasses.replace(manifest, graphs=(change(manifest.graphs[0]), *manifest.graphs[1:]))


def first_path(path: str) -> Callable[[Manifest], Manifest]:
    """Give the first graph's file another path, with all else unchanged."""

    def change(graph: GraphEntry) -> GraphEntry:
        return dataclasses.replace(graph, files=(dataclasses.replace(graph.files[0], path=path), *graph.files[1:]))

    return first_graph(change)


def built_elsewhere(bundle: Bundle, *, cpu_kind: str = "z80", onnxruntime: str | None = None) -> Bundle:
    """The same bundle as built on a machine of another kind."""

    def change(graph: GraphEntry) -> GraphEntry:
        assert graph.packed is not None
        version = onnxruntime or graph.packed.onnxruntime
        packed = dataclasses.replace(graph.packed, cpu_kind=cpu_kind, onnxruntime=version)
        return dataclasses.replace(graph, packed=packed)

    rewrite(bundle, lambda manifest: dataclasses.replace(manifest, graphs=tuple(map(change, manifest.graphs))))
    return open_bundle(bundle.root)


def listed(bundle: Bundle) -> list[FileEntry]:
    """Every file that the manifest lists."""
    graphs = bundle.manifest.graphs
    return [entry for graph in graphs for entry in (*graph.files, *(graph.packed.files if graph.packed else ()))]


def flip(path: Path, at: int) -> None:
    """Flip one bit."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
