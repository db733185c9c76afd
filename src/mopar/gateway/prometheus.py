"""Metrics in Prometheus' text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats).

The client library would take more of the gateway's memory than all the rest of its HTTP side
(docs/decisions/gateway-memory.md).
"""

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterator, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPED = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class Metric(ABC):
    """What is counted under one name, for each combination of its labels' values.

    Args:
        name: of the metric, as it is written.
        text: what it means, in one line.
        labels: their names.
    """

    kind: str

    def __init__(self, name: str, text: str, labels: Sequence[str] = ()) -> None:
        self.name, self._text, self._labels = name, text, tuple(labels)

    def lines(self) -> Iterator[str]:
        """The metric as Prometheus reads it."""
        yield f"# HELP {self.name} {self._text}"
        yield f"# TYPE {self.name} {self.kind}"
        yield from self._samples()

    @abstractmethod
    def _samples(self) -> Iterator[str]:
        """A line for each number."""

    def _line(self, suffix: str, values: tuple[str, ...], number: float, bound: str | None = None) -> str:
        pairs = [f'{name}="{value.translate(_ESCAPED)}"' for name, value in zip(self._labels, values, strict=True)]
        if bound is not None:
            pairs.append(f'le="{bound}"')
        return f"{self.name}{suffix}{'{' + ','.join(pairs) + '}' if pairs else ''} {float(number)}"


class Counter(Metric):
    """A number that only grows; its name ends in ``_total``."""

    kind = "counter"

    def __init__(self, name: str, text: str, labels: Sequence[str] = ()) -> None:
        super().__init__(name, text, labels)
        self._numbers: dict[tuple[str, ...], float] = {} if labels else {(): 0.0}

    def add(self, *values: str, by: float = 1.0) -> None:
        """Count for these values of the labels."""
        self._numbers[values] = self._numbers.get(values, 0.0) + by

    def _samples(self) -> Iterator[str]:
        return (self._line("", values, number) for values, number in self._numbers.items())


class Gauge(Metric):
    """A number that goes up and down."""

    kind = "gauge"

    def __init__(self, name: str, text: str) -> None:
        super().__init__(name, text)
        self.value = 0.0

    def _samples(self) -> Iterator[str]:
        yield self._line("", (), self.value)


class Histogram(Metric):
    """How many observations were up to each of some bounds, their number and their sum.

    Args:
        name: of the metric, without suffix.
        text: what it means, in one line.
        labels: their names.
        bounds: upper bounds of the buckets, in ascending order; a last one without bound is added.
    """

    kind = "histogram"

    def __init__(self, name: str, text: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        super().__init__(name, text, labels)
        self._bounds = tuple(bounds)
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}

    def observe(self, number: float, *values: str) -> None:
        """Count an observation for these values of the labels."""
        counts = self._counts.get(values)
        if counts is None:
            counts = self._counts[values] = [0] * (len(self._bounds) + 1)
        counts[bisect_left(self._bounds, number)] += 1
        self._sums[values] = self._sums.get(values, 0.0) + number

    def _samples(self) -> Iterator[str]:
        for values, counts in self._counts.items():
            total = 0
            for bound, count in zip((*map(str, self._bounds), "+Inf"), counts, strict=True):
                total += count
                yield self._line("_bucket", values, total, bound)
            yield self._line("_count", values, total)
            yield self._line("_sum", values, self._sums[values])


class Registry:
    """The metrics of one server."""

    def __init__(self) -> None:
        self._metrics: dict[str, Metric] = {}

    def add(self, *metrics: Metric) -> None:
        """Show these metrics too; each name at most once."""
        for metric in metrics:
            assert metric.name not in self._metrics, f"there are two metrics {metric.name}"
            self._metrics[metric.name] = metric

    def exposition(self) -> bytes:
        """All metrics as text."""
        lines = [line for metric in self._metrics.values() for line in metric.lines()]
        return "".join(f"{line}\n" for line in lines).encode()
