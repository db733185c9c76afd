"""A graph loaded as a sum of flags says, and what an engine's refusal of a run means: alike for all doors."""

from mopar.runtime import frames
from mopar.runtime.engine import OrtError

TYPE_CHECKING = False  # typing costs memory
if TYPE_CHECKING:
    from collections.abc import Callable

    from mopar.runtime.interface import AnyEngine, AnySession

    MakeEngine = Callable[[str, int], AnyEngine]

_NO_MEMORY = ("allocate memory", "bad_alloc", "bad allocation")
"""What the engine says where memory ran out: that is no fault of the inputs."""


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
    """Whether a run failed for want of memory, and not because of its inputs."""
    return any(sign in str(error) for sign in _NO_MEMORY)
