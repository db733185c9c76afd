"""Packs a bundle's graphs for this machine where it was built on a machine of another kind.

Graphs packed for another CPU or another version of ONNX Runtime cannot be loaded. The portable graphs can, but take
longer to load and need more memory, so they are packed once for this machine and kept in the user's cache.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from mopar.bundle.contents import check_graph
from mopar.bundle.folder import file_entries
from mopar.bundle.opened import Bundle, fits_machine
from mopar.engine.prepack import pack_graph, packed_entry
from mopar.files import read_json, swap_paths, temporary_folder, to_json, write_whole
from mopar.machine import machine_facts
from mopar.types import BundleError, GraphEntry, PackedEntry

_INDEX = "packed.json"
_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class PackedGraphs:
    """Index of a cache folder: the packed form of each graph, by the graph's id."""

    graphs: dict[str, PackedEntry]
    schema: int = _SCHEMA


def prepare(bundle: Bundle, cache: Path, notice: Callable[[str], None] = lambda _text: None) -> Bundle:
    """Pack those graphs of a bundle that are not packed for this machine.

    Args:
        bundle: the opened bundle; its folder is not written to.
        cache: folder in which packed graphs are kept, in ``packed/<digest of the manifest>``.
        notice: called with a message where graphs cannot be packed or kept, so that the portable ones run instead.

    Returns:
        The same bundle where all graphs fit; otherwise one whose manifest lists the files in its ``packed_root``.
    """
    graphs = [graph for graph in bundle.manifest.graphs if graph.packed is not None]
    if all(_fits(graph) for graph in graphs):
        return bundle
    home = cache / "packed" / hashlib.sha256(to_json(bundle.manifest)).hexdigest()[:32] / _kind_of_machine()
    try:
        packed = _kept(home, graphs) or _pack(bundle, graphs, home)
    except (OSError, BundleError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        notice(
            f"the bundle was built for another kind of machine, and cannot be packed for this one ({reason}): "
            "it starts more slowly and takes more memory"
        )
        return bundle
    renewed = tuple(replace(graph, packed=packed.get(graph.id)) for graph in bundle.manifest.graphs)
    return replace(bundle, manifest=replace(bundle.manifest, graphs=renewed), packed_root=home)


def _fits(graph: GraphEntry) -> bool:
    return graph.packed is not None and fits_machine(graph.packed.cpu_kind, graph.packed.onnxruntime)


def _kind_of_machine() -> str:
    facts = machine_facts()
    return f"{facts.cpu_kind}-onnxruntime{facts.onnxruntime}"


def _kept(home: Path, graphs: list[GraphEntry]) -> dict[str, PackedEntry] | None:
    """The packed graphs that an earlier call left in ``home``; None where they are missing or incomplete."""
    try:
        found = read_json(home / _INDEX, PackedGraphs, error=BundleError).graphs
        for graph in graphs:
            check_graph(home, graph, found[graph.id].files, digest=True)
    except (BundleError, IndexError, KeyError):
        return None
    return found


def _pack(bundle: Bundle, graphs: list[GraphEntry], home: Path) -> dict[str, PackedEntry]:
    """Pack into a temporary folder, then move it to ``home``. Raises OSError or BundleError."""
    threads = {function.name: function.threads for function in bundle.manifest.plan.functions}
    home.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(f".{home.name}.", home.parent) as staging:
        packed = {}
        for number, graph in enumerate(graphs):
            assert graph.packed is not None
            source, options = bundle.root / graph.files[0].path, graph.packed.options
            files = pack_graph(source, staging / f"{number}.onnx", options, threads[graph.function])
            packed[graph.id] = packed_entry(machine_facts().cpu_kind, options, file_entries(staging, files))
        write_whole(staging / _INDEX, to_json(PackedGraphs(packed)))
        try:
            staging.rename(home)
        except OSError:
            if (kept := _kept(home, graphs)) is not None:  # another process has finished first
                return kept
            if not swap_paths(staging, home):  # an incomplete folder is in the way
                raise
        return packed
