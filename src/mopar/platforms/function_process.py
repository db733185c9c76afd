"""A function's process, the same on every platform: its command line, and the configuration file that it reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import msgspec

from mopar.bundle.opened import graph_digest
from mopar.runtime import frames
from mopar.types import EngineOptions, GraphEntry, TensorSpec, dtype_of_name, oip_of

_NO_RATIOS: Mapping[str, float] = MappingProxyType({})
_RUNTIME = "mopar.runtime."
"""Modules of this package need no installed packages, so Python starts without looking for any."""
_BOOT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from {} import main; main()"


def command_of(python: str, root: str, module: str, *, alone: bool = False) -> list[str]:
    """The command line that runs a module's ``main``; its arguments are to be added.

    Args:
        python: the interpreter.
        root: folder of the package ``mopar``.
        module: one outside ``mopar.runtime`` may import installed packages.
        alone: whether all that it imports is in ``root``, so that none is needed.
    """
    flags = ["-I", "-S"] if alone or module.startswith(_RUNTIME) else ["-I"]
    return [python, *flags, "-B", "-c", _BOOT.format(module), root]


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """A file beside a graph's, by ``name``, that a function fetches from a bucket; it checks its bytes and digest."""

    name: str
    bucket: str
    key: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class GraphForm:
    """A file of a graph and how it is loaded.

    Attributes:
        path: of the file.
        options: of the session.
        cpu_kind: the only kind of CPU that can load it; None for any.
        weights: files that it needs and that are fetched first.
    """

    path: str
    options: EngineOptions
    cpu_kind: str | None = None
    weights: tuple[FetchedFile, ...] = ()


@dataclass(frozen=True, slots=True)
class ServedGraph:
    """A graph of a function.

    Attributes:
        entry: the manifest's.
        form: what is loaded.
        packed: what is loaded instead where the CPU is of its kind.
    """

    entry: GraphEntry
    form: GraphForm
    packed: GraphForm | None = None


def config_of(
    function: str,
    library: str,
    threads: int,
    max_body_bytes: int,
    graphs: Sequence[ServedGraph],
    lossless: str | None = None,
    code_ratios: Mapping[str, float] = _NO_RATIOS,
) -> bytes:
    """The configuration of a function (``mopar.runtime.config``).

    Args:
        function: its name.
        library: path of ONNX Runtime's.
        threads: of an operator.
        max_body_bytes: of a request over HTTP.
        graphs: in the order in which calls number them.
        lossless: path of the library that decodes and encodes its tensors; None where none is encoded.
        code_ratios: output -> most bytes of its code per byte.
    """
    codecs = {} if lossless is None else {"lossless": lossless}
    ratios = _NO_RATIOS if lossless is None else code_ratios
    document = {
        "function": function,
        "library": library,
        "threads": threads,
        "max_body_bytes": max_body_bytes,
        **codecs,
        "graphs": [_graph(graph, ratios) for graph in graphs],
    }
    return msgspec.json.encode(document)


def load_flags(options: EngineOptions) -> int:
    """How a graph is loaded, as a sum of the runtime's flags."""
    return (
        frames.OPTIMIZE * (options.optimize == "all")
        + frames.PREPACK * options.prepack
        + frames.ARENA * options.arena
        + frames.MEMORY_PATTERN * options.memory_pattern
    )


def _graph(graph: ServedGraph, code_ratios: Mapping[str, float]) -> dict[str, object]:
    packed = {} if graph.packed is None else {"packed": _form(graph.packed) | {"cpu_kind": graph.packed.cpu_kind}}
    return {
        "id": graph.entry.id,
        "digest": graph_digest(graph.entry),
        **_form(graph.form),
        **packed,
        "inputs": [_port(spec) for spec in graph.entry.inputs],
        "outputs": [_port(spec, code_ratios) for spec in graph.entry.outputs],
    }


def _form(form: GraphForm) -> dict[str, object]:
    weights = {"weights": form.weights} if form.weights else {}
    return {"path": form.path, "flags": load_flags(form.options), **weights}


def _port(spec: TensorSpec, code_ratios: Mapping[str, float] = _NO_RATIOS) -> dict[str, str | int | float]:
    dtype = dtype_of_name(spec.dtype)
    ratio = {"most_code_ratio": code_ratios[spec.name]} if spec.name in code_ratios else {}
    return {"name": spec.name, "datatype": oip_of(dtype), "code": dtype.code, **ratio}
