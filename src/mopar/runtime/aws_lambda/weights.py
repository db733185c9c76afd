"""Weights that are no part of a package: they are fetched from a bucket before a graph is loaded."""

import os

from mopar.runtime.config import ConfigError

TYPE_CHECKING = False  # typing costs memory
if TYPE_CHECKING:
    from mopar.runtime.config import Config, Graph

_TEMPORARY = "/tmp"  # noqa: S108 - where a function on Lambda may write, and nobody else can
_PIECE_BYTES = 1 << 20


def fetch_weights(config: "Config") -> None:
    """Fetch the files of all graphs, and have those graphs loaded from where they are.

    ONNX Runtime looks for weights beside the graph, so the graph is copied there.

    Raises:
        ConfigError: a file's name is none.
        OSError: it cannot be fetched or written.
    """
    folder = f"{os.environ.get('TMPDIR', _TEMPORARY)}/mopar-weights"
    for number, graph in enumerate(config.graphs):
        if graph.weights:
            _fetch(graph, f"{folder}/{number}")


def _fetch(graph: "Graph", folder: str) -> None:
    from mopar.runtime.aws_lambda.objects import ObjectStore  # 10 MiB that only functions with a store pay

    os.makedirs(folder, mode=0o700, exist_ok=True)  # noqa: PTH103 - pathlib costs every function 1 MiB
    for file in graph.weights:
        if "/" in file.name or file.name in {"", ".", ".."}:
            raise ConfigError(f"weights {file.name!r}: no name of a file")
        path = f"{folder}/{file.name}"
        with open(path + ".part", "wb") as part:  # noqa: PTH123 - the same
            ObjectStore(file.bucket).download(file.key, part, file.nbytes, file.sha256)
        os.replace(path + ".part", path)  # noqa: PTH105 - the same
    target = f"{folder}/{os.path.basename(graph.path)}"  # noqa: PTH119 - the same
    with open(graph.path, "rb") as source, open(target, "wb") as copy:  # noqa: PTH123 - the same
        while piece := source.read(_PIECE_BYTES):
            copy.write(piece)
    graph.path = target
