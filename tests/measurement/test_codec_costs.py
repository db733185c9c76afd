"""Costs of codecs: measured once for all, and read off for each tensor."""

from pathlib import Path

import pytest

from mopar.codecs import codec_names
from mopar.measurement import codec_costs as measured
from mopar.measurement.codec_costs import CodecCost, CodecCosts, codec_costs

MIB = 1 << 20


def test_a_line_through_what_was_measured() -> None:
    costs = CodecCosts(
        (
            CodecCost("linear", 16, 4, 1.0, 2.0, 0.0, 0.0),
            CodecCost("linear", 64, 4, 4.0, 2.0, 0.0, 0.0),
            CodecCost("linear", 16, 3, 9.0, 9.0, 0.0, 0.0),
            CodecCost("int8", 0, 4, 0.5, 0.4, 0.1, 0.2),
        )
    )
    assert costs.of("linear:32", 4, MIB) == pytest.approx((2.0, 2.0))
    assert costs.of("linear:8", 5, MIB) == pytest.approx((0.5, 2.0))
    assert costs.of("linear:32", 2, MIB) == (9.0, 9.0)
    assert costs.of("int8", 2, 2 * MIB) == pytest.approx((1.1, 1.0))
    assert costs.of("int8", 2, 4) == pytest.approx((0.1, 0.2), rel=1e-3)  # nodes take time whatever they are given
    with pytest.raises(KeyError):
        costs.of("zip", 4, MIB)


def test_every_codec_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "cache_directory", lambda: tmp_path)
    told: list[str] = []
    first = codec_costs(progress=told.append)
    assert {cost.codec for cost in first.costs} == set(codec_names())
    assert {cost.rank for cost in first.costs} == {3, 4}
    assert all(0 < cost.encode_ms_per_mib < 1e3 and 0 < cost.decode_ms_per_mib < 1e3 for cost in first.costs)
    assert all(0 <= cost.encode_ms < 1 and 0 <= cost.decode_ms < 1 for cost in first.costs)
    assert codec_costs(progress=told.append) == first
    assert len(told) == 1
