"""How measurements are made: every number that a search or an interleaved measurement rests on, and its reason."""

from dataclasses import dataclass

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class MemoryPolicy:
    """How required memory is searched for; the first four are its definition (docs/measuring.md)."""

    requests: int = 20
    """Answers in a row that count as success."""
    tolerance: float = 0.10
    """Share by which the median latency may exceed that without a limit."""
    confirmed_loads: int = 4
    """Runs in a row that a limit must hold where only loading is bound by it, and holds more than serving: what the
    engine takes to load a graph of its own packing differs between processes, for ConvNeXt-base from 427 to 463 MiB."""
    resolution_mib: float = 2.0
    """The limit is found to this, or to the share below where that is larger."""
    resolution_share: float = 0.02
    """Of the limit: what large functions need varies by more than 2 MiB from run to run."""

    reference_requests: int = 7
    """Of a run without a limit: enough for a median, and survival is not in question there."""
    reference_every: int = 4
    """Runs under a limit after which latency without one is measured again: machines drift."""
    deadline_s: float = 600.0
    """Of a run without a limit: the largest models load from disk in minutes."""
    patience: float = 2.5
    """A run under a limit may take so many times the longest without: too small a limit may reclaim for ever."""
    patience_s: float = 1.0
    """On top of that: short runs vary by more."""

    floor_slack_mib: float = 1.0
    """What was seen to be unreclaimable may be too much by this: the kernel adds up statistics in batches."""
    guess_slack_mib: float = 3.5
    """What functions were seen to need beyond what they hold: the page cache's minimum."""
    surplus_share: float = 0.1
    """Of what is expected, the most that a similar function's surplus counts: beyond that it was not similar."""
    libraries_mib: float = 1.0
    """Mapped pages charged to others from which on libraries were in memory before."""

    slow_share: float = 0.5
    """Requests that are slow in a run whose median is."""
    retry_factor: float = 1.25
    """A median below so many times the tolerated one may be noise, and the limit is tried once more."""
    abandon_factor: float = 1.5
    """Requests that take so many times the tolerated latency are far too slow: the median will be above it."""
    abandon_requests: int = 6
    """So many in a row that are far too slow end the run: close to its need a function takes up to five to settle."""
    settled_requests: int = 5
    """After so many in a row without a page fault, all pages in use are in memory: later requests would find them."""
    sample_s: float = 0.01
    """Between two readings of unreclaimable memory: loading a weight takes longer."""

    def fine_bytes(self, limit_bytes: float) -> float:
        """The resolution at a limit."""
        return max(self.resolution_mib * _MIB, self.resolution_share * limit_bytes)


@dataclass(frozen=True, slots=True)
class LatencyPolicy:
    """How many requests latencies are the medians of."""

    warm_rounds: int = 10
    """Before those that count: the engine's first runs allocate, and cores wake up."""
    rounds: int = 120
    """Of functions that do next to nothing, whose differences are a few microseconds."""
    long_rounds: int = 40
    """Of functions that compute for milliseconds, whose differences are large beside the noise."""
    few_rounds: int = 15
    """Where each function of a chain gives a sample of its own in each round."""
    tries: int = 3
    """Processes started anew: for as long as they run, the system keeps caller and callee on one core or on two."""
    starts: int = 3
    """Of a function, for its time from exec to ready."""
    engine_rounds: int = 20
    """In one process, where nothing but the engine is timed."""
    short_call_s: float = 10.0
    """Deadline of a request to functions that were made to be measured, and take milliseconds."""
    call_s: float = 300.0
    """Deadline of one call or request: large models take seconds under small CPU shares."""

    settling_requests: int = 6
    """Before those that count, to a function under a limit or a deployment: after the first ones a worker drops pages
    that only loading used."""
    served_ms: float = 1500.0
    """A deployment is measured for so long: twenty quick requests would all meet the same transient system noise."""
    served_rounds: int = 100
    """Requests to a deployment after which that is long enough in any case: the median hardly moves any more."""


MEMORY = MemoryPolicy()
LATENCY = LatencyPolicy()
