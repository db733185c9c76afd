"""The threads that compute an operator together: a core for each, and how they wait for the next operator.

Linux may wake a thread on the core where the thread that wakes it is computing, and leave both there. So each thread
is pinned to a share of the cores that has none in common with another's.

Where operators are short, waking up a thread takes longer than it saves. So a thread spin-waits for its next operator
for about as long as waking it up would take, and never beyond the end of a run.

The figures of both are in docs/decisions/waiting-by-flags.md.
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
    # ONNX Runtime numbers cores from 1, and leaves the calling thread out.
    affinities = ";".join(",".join(str(core + 1) for core in share) for share in shares[1:])
    return {
        "session.intra_op_thread_affinities": affinities,
        "session.intra_op.spin_duration_us": str(_SPIN_US),
        "session.force_spinning_stop": "1",
    }
