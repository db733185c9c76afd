"""Models that expand to more than any machine has are refused in one line, or cost no more than their files."""

import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mopar.graph import load_model
from mopar.graph.bounds import MOST_NODES
from mopar.types import ModelError
from tests.graph import overdrawn

REFUSED = [
    (overdrawn.recursive, r"the function local::f0 calls itself"),
    (overdrawn.recursive_pair, r"the function local::f\d calls itself, directly or by others"),
    (overdrawn.doubling, f"more than {MOST_NODES} nodes once its functions are inlined"),
    (overdrawn.doubling_in_a_body, f"more than {MOST_NODES} nodes"),
    (overdrawn.many_calls, f"more than {MOST_NODES} nodes"),
    (overdrawn.negative_dim, r"the input 'x' has a dimension of -3"),
    (overdrawn.no_nodes, r"it has no nodes"),
    (overdrawn.weight_without_data, r"'w' says to have 2147483648 elements and brings 0"),
    (overdrawn.weight_with_little_data, r"'w' says to have 2147483648 elements and brings 1"),
    (overdrawn.weight_of_negative_size, r"'w' has a negative dimension"),
    (overdrawn.weight_that_overflows, r"'w' says to have 18446744073709551616 elements and brings 0"),
    (overdrawn.external_hole, r"'hole\.bin'.*most of which are holes"),
    (overdrawn.sparse_weight, r"sparse tensor 'w' says to have more elements"),
    (overdrawn.large_between, r"\(ConstantOfShape\) makes a constant larger than memory"),
    (overdrawn.many_turns_in_a_kernel, r"\(Conv\) makes take too long"),
    (overdrawn.deep_bodies, r"bodies lie more than \d+ deep"),
    (overdrawn.deeper_bodies, r"not an ONNX file"),
]
TAKEN = [
    overdrawn.huge_dim,
    overdrawn.large_input,
    overdrawn.endless_loop,
    overdrawn.large_hidden_between,
    overdrawn.many_ranges,
]
MOST_S, MOST_BYTES = 20, 3 << 30
LOAD = "import sys; from pathlib import Path; from mopar.graph import load_model; load_model(Path(sys.argv[1]))"


@pytest.mark.parametrize(("make", "says"), REFUSED, ids=[make.__name__ for make, _ in REFUSED])
def test_refused_in_one_line_and_at_once(make: overdrawn.Make, says: str, tmp_path: Path) -> None:
    path = make(tmp_path)
    begun = time.monotonic()
    with pytest.raises(ModelError, match=says) as caught:
        load_model(path)
    assert time.monotonic() - begun < MOST_S
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", TAKEN, ids=lambda make: make.__name__)
def test_taken_within_time_and_memory(make: overdrawn.Make, tmp_path: Path) -> None:
    """In a separate process, which would be killed for memory above the limit."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(make(tmp_path))],
        capture_output=True,
        text=True,
        timeout=MOST_S * 3,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES)),
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_all_are_asked() -> None:
    assert {*(make for make, _ in REFUSED), *TAKEN} == set(overdrawn.ALL)
