"""Threads that compute an operator together have separate cores."""

import itertools
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopar.platforms.local import WorkerProcess
from mopar.runtime.threads import session_entries, shares_of_cores
from tests.platforms.local import graphs


@given(st.sets(st.integers(0, 300), min_size=1), st.integers(1, 8))
def test_shares_are_disjoint_and_complete(cores: set[int], threads: int) -> None:
    shares = shares_of_cores(cores, threads)
    if threads == 1 or len(cores) < threads:
        assert shares == []
    else:
        assert len(shares) == threads
        assert all(shares)
        assert sorted(itertools.chain(*shares)) == sorted(cores)


def test_cores_count_from_one_and_the_caller_is_left_out() -> None:
    entries = session_entries([[0, 3], [1, 4], [2]])
    assert entries["session.intra_op_thread_affinities"] == "2,5;3"


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core alone")
def test_a_worker_of_two_threads_keeps_them_apart(tmp_path: Path) -> None:
    path = graphs.allocate(tmp_path / "graph.onnx")
    one = graphs.spec(path, ("n",), ("y",))
    with WorkerProcess(replace(one, threads=2)) as worker:
        worker.load(60.0)
        threads = [int(entry.name) for entry in Path(f"/proc/{worker.pid}/task").iterdir()]
        cores = [os.sched_getaffinity(thread) for thread in threads]
    assert len(threads) == 2
    assert cores[0].isdisjoint(cores[1])
    assert cores[0] | cores[1] == os.sched_getaffinity(0)
