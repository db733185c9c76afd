"""What memory kernels ask the engine for, from its own statistics of one run.

ONNX Runtime writes them as CSV when a session ends: a node's name, an underscore and a hash, then bytes of inputs,
initializers, outputs that were allocated, and temporary allocations. Outputs that are written into an older buffer are
not among the third. The last is the sum of all that a kernel asked for in one execution: the most it can have held
at once. What kernels take past the engine's allocator is not in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mopar.engine.kernels import Kernel
from mopar.types import EngineError

_NUMBERS = 4


@dataclass(frozen=True, slots=True)
class KernelMemory:
    """What one kernel asked for in a run, in bytes.

    Attributes:
        output_bytes: of outputs that got memory of their own.
        workspace_bytes: of scratch.
    """

    output_bytes: int
    workspace_bytes: int


def kernel_memory(statistics: Path, kernels: Sequence[Kernel]) -> dict[int, KernelMemory]:
    """What the kernels asked for, by their places among ``kernels``; those of which nothing is told are left out.

    Kernels of the same name get the most that any of them took.

    Args:
        statistics: the file that the engine wrote (``session.collect_node_memory_stats_to_file``).
        kernels: of the graph that ran.

    Raises:
        EngineError: the file is not of the form that this module knows.
    """
    found: dict[str, KernelMemory] = {}
    for line in statistics.read_text(errors="replace").splitlines():
        if line.startswith("#") or not line:
            continue
        name, numbers = _read(line, statistics.name)
        known = found.get(name, KernelMemory(0, 0))
        found[name] = KernelMemory(max(known.output_bytes, numbers[2]), max(known.workspace_bytes, numbers[3]))
    # Nodes without a name are listed by their operator.
    names = [kernel.name or kernel.operator for kernel in kernels]
    return {index: found[name] for index, name in enumerate(names) if name in found}


def _read(line: str, file: str) -> tuple[str, tuple[int, ...]]:
    """A node's name, which may hold commas, and the four numbers."""
    name, *fields = line.rsplit(",", _NUMBERS)
    try:
        numbers = tuple(map(int, fields))
    except ValueError:
        numbers = ()
    if len(numbers) != _NUMBERS:
        raise EngineError(f"{file}: not memory statistics as ONNX Runtime writes them: {line!r}")
    return name.rpartition("_")[0], numbers
