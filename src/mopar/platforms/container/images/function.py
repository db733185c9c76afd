"""A function's own layer: its graphs and its configuration."""

import hashlib
from pathlib import Path

from mopar.bundle import Bundle
from mopar.bundle.sent_codecs import code_ratios, functions_that_encode
from mopar.platforms.container.images.layers import Layer, place, settle
from mopar.platforms.container.images.paths import CODECS, CONFIG, ENGINE, FUNCTION
from mopar.platforms.function_process import GraphForm, ServedGraph, config_of
from mopar.types import FileEntry, Function, GraphEntry

_MIB = 1 << 20


def function_layer(bundle: Bundle, function: Function) -> Layer:
    """The graphs of a function, portable, and packed for one kind of CPU beside it.

    Args:
        bundle: prepared for this machine, whose kind of CPU the packed graphs are for.
        function: of its plan.
    """
    graphs = [_served(graph) for graph in bundle.graphs_of(function.name)]
    # A request's inputs and their copies have to fit into the function's memory; what does not is refused at once.
    codecs = CODECS if function.name in functions_that_encode(bundle.manifest) else None
    ratios = code_ratios(bundle.manifest.plan, bundle.manifest.codes)
    config = config_of(function.name, ENGINE, function.threads, function.memory_mib * _MIB, graphs, codecs, ratios)
    files = {
        f"{FUNCTION}/{form}/{entry.path}": (home / entry.path, entry)
        for graph in bundle.graphs_of(function.name)
        for form, home, entries in _forms(bundle, graph)
        for entry in entries
    }

    def write(into: Path) -> None:
        into.mkdir()
        place(into, CONFIG, config)
        for target, (source, _) in files.items():
            place(into, target, source)
        settle(into)

    digest = hashlib.sha256(config)
    for target, (_, entry) in sorted(files.items()):
        digest.update(f"{target}\0{entry.sha256}\n".encode())
    nbytes = len(config) + sum(entry.bytes for _, entry in files.values())
    return Layer(f"function-{function.name}", digest.hexdigest(), nbytes, write)


def packed_kind(bundle: Bundle) -> str:
    """The kind of CPU that the packed graphs are for; empty where none is packed."""
    kinds = {graph.packed.cpu_kind for graph in bundle.manifest.graphs if graph.packed is not None}
    return ", ".join(sorted(kinds))


def _forms(bundle: Bundle, graph: GraphEntry) -> list[tuple[str, Path, tuple[FileEntry, ...]]]:
    """Name, folder and files of each form of a graph."""
    forms = [("portable", bundle.root, graph.files)]
    if graph.packed is not None:
        forms.append(("packed", bundle.packed_root or bundle.root, graph.packed.files))
    return forms


def _served(graph: GraphEntry) -> ServedGraph:
    packed = None
    if graph.packed is not None:
        path = f"{FUNCTION}/packed/{graph.packed.files[0].path}"
        packed = GraphForm(path, graph.packed.options, graph.packed.cpu_kind)
    return ServedGraph(graph, GraphForm(f"{FUNCTION}/portable/{graph.files[0].path}", graph.options), packed)
