"""Scratch that kernels ask the engine for, from its own statistics of one run.

ONNX Runtime writes them as CSV when a session ends: a node's name, an underscore and a hash, then bytes of inputs,
initializers, outputs that were allocated, and temporary allocations. The last is the sum of all that a kernel asked for
in one execution: the most it can have held at once. What kernels take past the engine's allocator is not in it.
"""

from collections.abc import Sequence
from pathlib import Path

from mopar.graph.kernels import Kernel
from mopar.types import EngineError

_FIELDS = 5


def kernel_workspace(statistics: Path, kernels: Sequence[Kernel]) -> dict[int, int]:
    """Bytes of temporary allocations of the kernels that made some, by their places among ``kernels``.

    Kernels of the same name get the most that any of them took.

    Args:
        statistics: the file that the engine wrote (``session.collect_node_memory_stats_to_file``).
        kernels: of the graph that ran.

    Raises:
        EngineError: the file is not of the form that this module knows.
    """
    found: dict[str, int] = {}
    for line in statistics.read_text(errors="replace").splitlines():
        if line.startswith("#") or not line:
            continue
        fields = line.rsplit(",", _FIELDS - 1)
        name = fields[0].rpartition("_")[0]
        try:
            size = int(fields[_FIELDS - 1])
        except (IndexError, ValueError) as cause:
            raise EngineError(
                f"{statistics.name}: not memory statistics as ONNX Runtime writes them: {line!r}"
            ) from cause
        found[name] = max(found.get(name, 0), size)
    # Nodes without a name are listed by their operator.
    sizes = ((index, found.get(kernel.name or kernel.operator, 0)) for index, kernel in enumerate(kernels))
    return {index: size for index, size in sizes if size}
