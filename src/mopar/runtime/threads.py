"""The threads that compute an operator together: a core for each, and how they wait for the next operator.

Between two operators the engine's threads sleep for a moment, and Linux wakes such a thread on the core where it slept,
even where the thread that wakes it computes there and other cores idle (seen on 6.18). Threads that once met on a core
run by turns from then on: two take as long as one, mostly after a pause. On shares of the cores that have none in
common they cannot meet.

Waking costs more than it saves where operators are short. So a thread first looks out for its next operator for as
long as waking would take, never beyond the end of a run; in all that costs about as much CPU time as waking, or less.
Both are shown by `python -m benchmarks.core_shares`.
"""

_SPIN_US = 30
_SLEEP_AT_ONCE = {"session.intra_op.allow_spinning": "0"}


def shares_of_cores(cores: "set[int]", threads: int) -> list[list[int]]:
    """Every ``threads``-th core for each thread, the caller's first; none for one thread, or where cores are fewer."""
    if threads < 2 or len(cores) < threads:
        return []
    return [sorted(cores)[first::threads] for first in range(threads)]


def session_entries(shares: list[list[int]]) -> dict[str, str]:
    """ONNX Runtime's configuration entries for threads on these shares of the cores; the caller pins itself."""
    if not shares:
        return _SLEEP_AT_ONCE
    # Cores count from 1 there, and the calling thread does not count.
    affinities = ";".join(",".join(str(core + 1) for core in share) for share in shares[1:])
    return {
        "session.intra_op_thread_affinities": affinities,
        "session.intra_op.spin_duration_us": str(_SPIN_US),
        "session.force_spinning_stop": "1",
    }
