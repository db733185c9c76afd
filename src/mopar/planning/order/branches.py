"""Where a model can be cut when its parallel branches may run in any order.

What is moved are *runs*: the layers between two neighbouring canonical cut positions, usually one. A *boundary* is a
set of runs that holds, with each run, all that it depends on (an order ideal): in some order of the branches the model
can be cut behind just these runs. Positions that every order passes (all runs before precede all runs after) separate
the model into *sections*; the boundaries inside a section are those of its branches, whatever is chosen elsewhere.

A boundary is an int, bit ``n`` for run ``n``. A section of a dozen runs has at most 4,096 boundaries, and all are
found. Of a larger one that has too many, those are found that a beam keeps: at each number of runs, the ones that the
fewest bytes cross.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from mopar.planning.model.reorder import run_lengths
from mopar.types import Profile


@dataclass(frozen=True, slots=True)
class Run:
    """Layers ``start`` to ``stop`` (exclusive), which no order takes apart.

    Attributes:
        start, stop: canonical numbers of layers.
        before: the boundary that must be passed before it: all runs that it depends on, directly or not.
        made_bytes: of the tensors that it makes and other runs, or the response, read.
        reads: of each tensor that it reads and another run makes, the runs that read it and its bytes; None in place
            of the runs for a tensor that the response reads.
    """

    start: int
    stop: int
    before: int
    made_bytes: int
    reads: tuple[tuple[int | None, int], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """Runs ``start`` to ``stop`` (exclusive), of which some stand side by side."""

    start: int
    stop: int

    @property
    def first(self) -> int:
        """The boundary before it."""
        return (1 << self.start) - 1

    @property
    def last(self) -> int:
        """The boundary after it."""
        return (1 << self.stop) - 1


def is_canonical(boundary: int) -> bool:
    """Whether the canonical order passes the boundary: it holds the first runs, and no others."""
    return boundary & (boundary + 1) == 0


def runs_of(profile: Profile) -> tuple[Run, ...]:
    """The runs of a profile and what they depend on. Quadratic in runs, at worst."""
    starts = run_lengths(profile)
    edges = sorted({start for start, _ in starts})
    numbers = {start: number for number, start in enumerate(edges)}
    of_layer = [numbers[start] for start, _ in starts]
    count, layers = len(edges), len(profile.layers)
    direct, made = [0] * count, [0] * count
    reads: list[list[tuple[int | None, int]]] = [[] for _ in edges]
    for tensor in profile.tensors:
        if tensor.producer < 0:
            continue  # the request has it, wherever the model is cut
        maker = of_layer[tensor.producer]
        readers = {of_layer[reader] for reader in tensor.consumers if reader < layers} - {maker}
        answered = layers in tensor.consumers
        if readers or answered:
            made[maker] += tensor.bytes
        mask = None if answered else sum(1 << reader for reader in readers)
        for reader in readers:
            direct[reader] |= 1 << maker
            reads[reader].append((mask, tensor.bytes))
    found: list[Run] = []
    for number, start in enumerate(edges):
        before = direct[number]
        for other in bits(direct[number]):
            before |= found[other].before
        stop = start + starts[start][1]
        found.append(Run(start, stop, before, made[number], tuple(reads[number])))
    return tuple(found)


def sections_of(runs: tuple[Run, ...]) -> tuple[Section, ...]:
    """The parallel sections, first to last; linear in runs."""
    # Up to where each run follows every run, and of it and all later ones the least.
    follows = [(~run.before & (run.before + 1)).bit_length() - 1 for run in runs]
    edges, least = [len(runs)], len(runs)
    for position in range(len(runs) - 1, -1, -1):
        least = min(least, follows[position])
        if least >= position:
            edges.append(position)
    edges.reverse()
    return tuple(Section(a, b) for a, b in pairwise(edges) if b - a > 1)


def boundaries_of(runs: tuple[Run, ...], section: Section, most: int, exact_runs: int) -> tuple[dict[int, int], bool]:
    """Boundaries of a section, its two ends among them, each with the bytes by which it exceeds the first end.

    All of them where the section has at most ``exact_runs`` runs, or at most ``most`` boundaries; else about ``most``,
    those of the canonical order among them. Second, whether they are all.
    """
    size = section.stop - section.start
    every = _levels(runs, section, None, None if size <= exact_runs else most)
    if every is not None:
        return every, True
    some = _levels(runs, section, max(most // size, 1), None)
    assert some is not None, "a beam has no limit"
    return some, False


def _levels(runs: tuple[Run, ...], section: Section, beam: int | None, most: int | None) -> dict[int, int] | None:
    """Boundaries by number of runs, each from those one run smaller; None where there are more than ``most``."""
    found: dict[int, int] = {}
    level = {section.first: 0}
    while level:
        found |= level
        if most is not None and len(found) > most + 2:
            return None
        following: dict[int, int] = {}
        for boundary, crossing in level.items():
            for number in _ready(runs, section, boundary):
                wider = boundary | 1 << number
                if wider not in following:
                    following[wider] = crossing + _added_bytes(runs[number], wider)
        level = following if beam is None else _narrowed(following, beam)
    return found


def _ready(runs: tuple[Run, ...], section: Section, boundary: int) -> Iterator[int]:
    """Runs of the section that can stand next after a boundary."""
    for number in bits(section.last & ~boundary):
        if runs[number].before & ~boundary == 0:
            yield number


def _added_bytes(run: Run, wider: int) -> int:
    """How many more bytes cross ``wider``, which is a boundary and ``run``, than the boundary."""
    dead = sum(size for readers, size in run.reads if readers is not None and readers & ~wider == 0)
    return run.made_bytes - dead


def _narrowed(level: Mapping[int, int], beam: int) -> dict[int, int]:
    """The boundaries that the fewest bytes cross, and that of the canonical order."""
    kept = sorted(level, key=lambda boundary: (not is_canonical(boundary), level[boundary], boundary))
    return {boundary: level[boundary] for boundary in kept[: beam + 1]}


def bits(mask: int) -> Iterator[int]:
    """Numbers of the runs that a boundary holds, ascending."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
