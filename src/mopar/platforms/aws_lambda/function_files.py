"""The files of one function: its graphs and its configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mopar.bundle import Bundle
from mopar.bundle.sent_codecs import code_ratios
from mopar.machine import machine_facts
from mopar.platforms.aws_lambda.function_package import StoredFile
from mopar.platforms.aws_lambda.runtime_files import CONFIG
from mopar.platforms.function_process import FetchedFile, GraphForm, ServedGraph, config_of
from mopar.types import EngineOptions, FileEntry, Function, GraphEntry, PackedEntry, UsageError

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Weights:
    """Where functions fetch weights: a bucket, and what its keys begin with, a slash at its end included."""

    bucket: str
    prefix: str


@dataclass(frozen=True, slots=True)
class FunctionFiles:
    """A function's own files.

    Attributes:
        files: path in the function's folder -> file, or contents.
        bytes: of all of them.
        stored: files that it fetches instead.
    """

    files: Mapping[str, Path | bytes]
    bytes: int
    stored: tuple[StoredFile, ...]


def function_files(
    bundle: Bundle,
    function: Function,
    library: str,
    cpu_kind: str | None,
    weights: Weights | None,
    codecs: Path | None = None,
) -> FunctionFiles:
    """The files of a function.

    Args:
        bundle: that has its graphs.
        function: of its plan.
        library: file name of ONNX Runtime's.
        cpu_kind: of processors that packed graphs are added for; None for none.
        weights: where weights are fetched; None where they are among the files.
        codecs: Blosc2's library, where its tensors are sent encoded; None for none.

    Raises:
        UsageError: the bundle has no graphs for ``cpu_kind``.
    """
    files: dict[str, Path | bytes] = {}
    stored: dict[str, StoredFile] = {}
    served = []
    for graph in bundle.graphs_of(function.name):
        forms = [(bundle.root, graph.files)]
        packed = _packed(graph, cpu_kind)
        if packed is not None:
            forms.append((bundle.packed_root or bundle.root, packed.files))
        for home, entries in forms:
            for number, entry in enumerate(entries):
                if weights is not None and number > 0:
                    key = _key(weights, entry)
                    stored[key] = StoredFile(home / entry.path, key, entry.bytes, entry.sha256)
                else:
                    files[entry.path] = home / entry.path
        served.append(
            ServedGraph(
                graph,
                _form(graph.files, graph.options, None, weights),
                None if packed is None else _form(packed.files, packed.options, packed.cpu_kind, weights),
            )
        )
    if codecs is not None:
        files[codecs.name] = codecs
    files[CONFIG] = config_of(
        function.name,
        library,
        _threads(bundle, function),
        function.memory_mib * _MIB,
        served,
        None if codecs is None else codecs.name,
        code_ratios(bundle.manifest.plan, bundle.manifest.codes),
    )
    total = sum(source.stat().st_size if isinstance(source, Path) else len(source) for source in files.values())
    return FunctionFiles(files, total, tuple(stored.values()))


def _packed(graph: GraphEntry, cpu_kind: str | None) -> PackedEntry | None:
    if cpu_kind is None:
        return None
    packed, engine = graph.packed, machine_facts().onnxruntime
    if packed is None or packed.cpu_kind != cpu_kind or packed.onnxruntime != engine:
        there = "none" if packed is None else f"{packed.cpu_kind} and ONNX Runtime {packed.onnxruntime}"
        raise UsageError(
            f"--cpu-kind {cpu_kind}: graph {graph.id} is packed for {there}: build the bundle on such a machine with "
            f"ONNX Runtime {engine}, or leave the option out"
        )
    return packed


def _form(
    entries: tuple[FileEntry, ...], options: EngineOptions, cpu_kind: str | None, weights: Weights | None
) -> GraphForm:
    fetched = () if weights is None else tuple(_fetched(weights, entry) for entry in entries[1:])
    return GraphForm(entries[0].path, options, cpu_kind, fetched)


def _fetched(weights: Weights, entry: FileEntry) -> FetchedFile:
    name = PurePosixPath(entry.path).name
    return FetchedFile(name, weights.bucket, _key(weights, entry), entry.bytes, entry.sha256)


def _key(weights: Weights, entry: FileEntry) -> str:
    """The key of a file: the same for the same contents, so that another version of a model is stored beside it."""
    return f"{weights.prefix}{entry.sha256}"


def _threads(bundle: Bundle, function: Function) -> int:
    """Threads of an operator: as planned for Lambda; otherwise 0, as many as the memory buys."""
    plan = bundle.manifest.plan
    return function.threads if plan.platform.startswith("aws-lambda") else 0
