"""Interleaved requests: who follows whom, and what is counted."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from mopar.measurement.single import chain_bundle
from mopar.pipeline.bench import served
from mopar.pipeline.bench.served import Server, orders, sample
from mopar.types import EngineOptions, TensorSpec


def test_every_round_has_each_configuration_once_in_another_order() -> None:
    rounds = list(orders(6, 100))
    assert all(sorted(order) == list(range(6)) for order in rounds)
    assert rounds == list(orders(6, 100)), "a run can be repeated"
    follows = Counter(pair for order in rounds for pair in pairwise(order))
    # Each of 30 pairs is expected in 100 / 6 rounds; in a fixed order five are in all of them, the rest in none.
    assert len(follows) == 30
    assert max(follows.values()) < 2 * 100 / 6


class _Client:
    """Records whose turn it is; each request takes 2 ms of CPU time in the gateway and 5 in its function."""

    timings: dict[str, dict[str, float]] = {"f0": {"held": 6.0, "waiting": 0.0, "engine": 5.0}}  # noqa: RUF012 - never changed

    def __init__(self, pid: int, turns: list[int], used: Counter[int]) -> None:
        self._pid, self._turns, self._used = pid, turns, used

    def infer(self, _inputs: object) -> dict[str, object]:
        self._turns.append(self._pid)
        self._used += Counter({self._pid: 2_000_000, self._pid + 100: 5_000_000})
        return {}


def test_requests_are_sent_in_those_orders_and_cpu_time_is_that_of_the_counted_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "g0.onnx").write_bytes(b"a graph")
    specs = tuple((TensorSpec(name, "float32", (1,)),) for name in ("x", "y"))
    bundle = chain_bundle("m", ((tmp_path / "g0.onnx",),), specs, EngineOptions())
    turns: list[int] = []
    used: Counter[int] = Counter()

    class Fake(Server):
        started = 0

        def __init__(self, *_: object) -> None:
            self._number = Fake.started
            Fake.started += 1
            self.client = _Client(self._number, turns, used)  # type: ignore[assignment]

        @property
        def pid(self) -> int:
            return self._number

        def stop(self) -> None:
            pass

    monkeypatch.setattr(served, "Server", Fake)
    monkeypatch.setattr(served, "process_tree", lambda pid: [pid, pid + 100])
    monkeypatch.setattr(served, "cpu_ns", lambda pid: used[pid])
    monkeypatch.setattr(served, "_resident_mib", lambda _pid: 26.0)
    found = sample([bundle] * 3, {}, {}, requests=10)
    assert turns[-30:] == [place for order in orders(3, 10) for place in order]
    assert [one.cpu_s for one in found] == pytest.approx([0.007] * 3)
    assert [one.gateway_cpu_ms for one in found] == pytest.approx([2.0] * 3)
