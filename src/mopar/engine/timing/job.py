"""The job of a timing process and its answer: two JSON documents, declared once for both sides.

The process that is timed imports this module, so it needs the standard library and msgspec alone.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

TIMING_SCHEMA = 1
DISTURBED = 0.01
"""Share of a run above which what others took of the core counts as a disturbance."""


@dataclass(frozen=True, slots=True)
class RunBudget:
    """How long a measurement goes on: at least ``min_runs``, then until ``seconds`` or ``max_runs`` are spent.

    It stops sooner, from 40 runs on, where the interquartile range is within 1% of the median, and goes
    on up to 2.5 times as long where fewer than ``min_runs`` had the core to themselves.
    """

    seconds: float = 4.0
    min_runs: int = 15
    max_runs: int = 400
    warm_runs: int = 3


@dataclass(frozen=True, slots=True)
class SessionSpec:
    """How the engine loads a model and runs it.

    Attributes:
        model: path of the ONNX file.
        profile_prefix: path that the name of the profiler's file begins with.
        threads: of an operator.
        thread_entries: configuration entries that say how those threads wait, and on which cores.
        optimize: whether all of the engine's optimisations are on; none is otherwise.
        prepack: whether weights are packed while the model is loaded.
        arena: whether the engine keeps memory that was freed.
        memory_pattern: whether it plans a run's memory ahead.
        write: where to write the optimised model, its weights packed; None for nowhere.
        memory_statistics: where to write what memory each node took; None for nowhere.
    """

    model: str
    profile_prefix: str
    threads: int
    thread_entries: dict[str, str]
    optimize: bool
    prepack: bool
    arena: bool
    memory_pattern: bool
    write: str | None = None
    memory_statistics: str | None = None


@dataclass(frozen=True, slots=True)
class FeedSpec:
    """A request in a file.

    Attributes:
        path: of an ``.npz`` file, whose arrays are called ``input0``, ``input1`` and so on.
        names: of the model's inputs, in this order.
        codes: their element types, as ONNX numbers them.
    """

    path: str
    names: tuple[str, ...]
    codes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TimingJob:
    """Run a model with the engine's profiler, interleaved with runs without it.

    Attributes:
        session: of the runs with the profiler; those without load the same file in the same way.
        feed: the request.
        cores: that the process is pinned to; none leaves it where it is.
        budget: how many runs.
        alternate: whether there are runs without the profiler.
        answer: path of the answer.
    """

    session: SessionSpec
    feed: FeedSpec
    cores: tuple[int, ...]
    budget: RunBudget
    alternate: bool
    answer: str
    schema: int = TIMING_SCHEMA


@dataclass(frozen=True, slots=True)
class RunTime:
    """Milliseconds of one run, and for how many of them another process had the core."""

    wall_ms: float
    lost_ms: float

    @property
    def lost_share(self) -> float:
        """The part that was lost."""
        return self.lost_ms / self.wall_ms if self.wall_ms else 0.0


@dataclass(frozen=True, slots=True)
class TimingAnswer:
    """What the runs came to.

    Attributes:
        profile: path of the profiler's file.
        profiled: each run with the profiler.
        plain: each run without, taken beside those with it; the same again where there were none.
        error: the engine's reason where it refused; there were no runs then.
    """

    profile: str = ""
    profiled: tuple[RunTime, ...] = ()
    plain: tuple[RunTime, ...] = ()
    error: str | None = None
    schema: int = TIMING_SCHEMA


class _Versioned(Protocol):
    @property
    def schema(self) -> int: ...


Document = TypeVar("Document", bound=_Versioned)


def write_document(path: Path, document: _Versioned) -> None:
    """Write a job or an answer."""
    path.write_bytes(msgspec.json.encode(document))


def read_document(path: Path, kind: type[Document]) -> Document:
    """The job or answer in a file; one that does not fit is a bug of ours, as both sides are of one installation."""
    document = msgspec.json.decode(path.read_bytes(), type=kind)
    assert document.schema == TIMING_SCHEMA, f"{path}: schema version {document.schema}"
    return document
