"""Ways to reach a position, for the label-setting search."""

from dataclasses import dataclass
from math import inf

from mopar.planning.sizes import Size


@dataclass(frozen=True, slots=True)
class Step:
    """The last slice of a chain, by position numbers, with its size; ``before`` is the rest of the chain."""

    before: "Step | None"
    start: int
    stop: int
    size: Size


@dataclass(frozen=True, slots=True)
class Label:
    """A chain of slices from the first position: its weight in the objective, price, latency and length."""

    weight: float = 0.0
    cost_usd: float = 0.0
    latency_ms: float = 0.0
    used: int = 0
    last: Step | None = None

    def slices(self) -> tuple[tuple[int, int, Size], ...]:
        """The chain as (start, stop, size), first to last."""
        chain: list[tuple[int, int, Size]] = []
        step = self.last
        while step is not None:
            chain.append((step.start, step.stop, step.size))
            step = step.before
        return tuple(reversed(chain))


def undominated(labels: list[Label], *, counted: bool) -> list[Label]:
    """Labels of one position that no other one (of as many functions, where ``counted``) equals or beats."""
    least_ms: dict[int, float] = {}
    kept: list[Label] = []
    for label in sorted(labels, key=lambda label: (label.weight, label.latency_ms)):
        used = label.used if counted else 0
        if label.latency_ms < least_ms.get(used, inf):
            least_ms[used] = label.latency_ms
            kept.append(label)
    return kept
