"""The job of the sampled process and its answer: two JSON documents, as in ``mopar.engine.timing``."""

from dataclasses import dataclass

from mopar.engine.timing.job import TIMING_SCHEMA, FeedSpec, SessionSpec


@dataclass(frozen=True, slots=True)
class WatchJob:
    """Run a model while another process samples this one's memory.

    Attributes:
        session: how the model is loaded.
        feed: the request.
        files: paths of the model, whose pages are dropped before each sampled run.
        core: the one that the process is pinned to.
        warm_runs: runs that are not sampled.
        repeats: runs that are sampled.
        answer: path of the answer.
    """

    session: SessionSpec
    feed: FeedSpec
    files: tuple[str, ...]
    core: int
    warm_runs: int
    repeats: int
    answer: str
    schema: int = TIMING_SCHEMA


@dataclass(frozen=True, slots=True)
class WatchAnswer:
    """Path of the profiler's file, and when its clock began, in ns since the epoch."""

    profile: str
    began_ns: int
    schema: int = TIMING_SCHEMA
