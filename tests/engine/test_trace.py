import json
from pathlib import Path

import pytest

from mopar.engine.trace import read_trace
from mopar.types import EngineError


def _event(name: str, node: int, ts: int, dur: int) -> dict[str, object]:
    args = {"node_index": str(node), "op_name": name, "output_type_shape": [{"float": [2, 3]}]}
    return {"cat": "Node", "name": f"{name}_kernel_time", "ts": ts, "dur": dur, "args": args}


RUN = {"cat": "Session", "name": "model_run", "ts": 0, "dur": 100, "args": {}}
BODY_DONE = {"cat": "Session", "name": "SequentialExecutor::Execute", "ts": 11, "dur": 9, "args": {}}


def test_what_ran_inside_a_body_counts_within_its_parent_only(tmp_path: Path) -> None:
    """The engine writes a kernel's event when it ends: events of a body precede their parent's."""
    inner = [_event("mm", 0, 12, 3), _event("if", 1, 15, 4), _event("deep", 0, 16, 2)]
    nested = [inner[0], inner[2], inner[1]]  # the inner If ends after its own body
    events = [_event("a", 0, 5, 5), *nested, BODY_DONE, _event("loop", 1, 10, 11), _event("b", 2, 21, 1), RUN]
    (tmp_path / "profile.json").write_text(json.dumps(events))
    (run,) = read_trace(tmp_path / "profile.json").runs
    assert [(event.name, event.duration_us, event.inner) for event in run] == [
        ("a", 5, 0),
        ("loop", 11, 3),
        ("b", 1, 0),
    ]
    assert run[0].outputs == (("float", (2, 3)),)


def test_kernels_that_start_in_the_same_microsecond_are_neighbours(tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text(json.dumps([_event("a", 0, 5, 0), _event("b", 1, 5, 3), RUN]))
    (run,) = read_trace(tmp_path / "profile.json").runs
    assert [event.name for event in run] == ["a", "b"]


def test_warm_runs_are_left_out(tmp_path: Path) -> None:
    events = [_event("a", 0, 5, 9), RUN, _event("a", 0, 200, 1), RUN]
    (tmp_path / "profile.json").write_text(json.dumps(events))
    (run,) = read_trace(tmp_path / "profile.json", skip_runs=1).runs
    assert run[0].duration_us == 1


def test_a_file_that_is_no_profile_says_so(tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text('[{"name": 3}]')
    with pytest.raises(EngineError, match="not a profile"):
        read_trace(tmp_path / "profile.json")
