"""Loading a graph by flags, and the reason why the engine refused a run; shared by worker and HTTP server."""

from mopar.runtime import frames
from mopar.runtime.engine import OrtError

TYPE_CHECKING = False  # typing costs memory
if TYPE_CHECKING:
    from collections.abc import Callable

    from mopar.runtime.interface import AnyEngine, AnySession

    MakeEngine = Callable[[str, int], AnyEngine]

_NO_MEMORY = ("allocate memory", "bad_alloc", "bad allocation")
"""Parts of the engine's messages when memory ran out, for which the inputs are not to blame."""


def load_graph(
    engine: "AnyEngine", path: str, flags: int, inputs: "tuple[str, ...]", outputs: "tuple[str, ...]"
) -> "AnySession":
    """A session of the graph in ``path``; ``flags`` is a sum of OPTIMIZE, PREPACK, ARENA and MEMORY_PATTERN.

    Raises:
        OrtError: the engine refuses it.
    """
    return engine.load(
        path,
        inputs,
        outputs,
        optimize=bool(flags & frames.OPTIMIZE),
        prepack=bool(flags & frames.PREPACK),
        arena=bool(flags & frames.ARENA),
        memory_pattern=bool(flags & frames.MEMORY_PATTERN),
    )


def lacked_memory(error: OrtError) -> bool:
    """Whether a run failed for lack of memory, and not because of its inputs."""
    return any(sign in str(error) for sign in _NO_MEMORY)
