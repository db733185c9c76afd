"""The machine's constants as they are measured; ``tests/pipeline/test_stages.py`` has when they are."""

from pathlib import Path

import pytest

from mopar.machine import machine_facts
from mopar.measurement.call_costs import runtime_costs


def test_constants_are_of_functions_that_do_next_to_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests take what was measured before; nothing here depends on how fast the machine is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    costs = runtime_costs()
    assert 10 < costs.base_mib < 60, "Python with the engine"
    assert costs.init_ms > costs.hop_ms >= costs.hop_billed_ms >= 0, "a process is started, or a frame is sent"
    assert costs.hop_ms > 0
    assert min(costs.wire_ms_per_mib, costs.cold_call_ms, costs.cold_ms, costs.wake_ms) >= 0
    assert (costs.exchange_ms is None) == (machine_facts().cores < 2)
    assert len(list((tmp_path / "mopar" / "runtime").iterdir())) == 1
