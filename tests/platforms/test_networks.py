"""What a network adds to a platform's costs of a call."""

import pytest

from mopar.platforms.books import load_limits
from mopar.platforms.networks import behind
from mopar.types import Network, UsageError


def test_bandwidth_and_round_trip_add_up_with_the_platform() -> None:
    limits = load_limits("container-http")
    found = behind(limits, Network(100.0, 4.0))
    assert found.hop_ms == pytest.approx(limits.hop_ms + 4.0)
    assert found.hop_ms_per_mib - limits.hop_ms_per_mib == pytest.approx(83.886, rel=1e-4)  # 8 x 2^20 bits at 10^8 a s
    own = limits.hop_ms_per_mib * limits.wire_billed_share
    assert found.hop_ms_per_mib * found.wire_billed_share == pytest.approx(own + 83.886 / 2, rel=1e-4)
    assert behind(limits, None) is limits


def test_functions_that_share_memory_have_no_network_between_them() -> None:
    with pytest.raises(UsageError, match="--platform local: its functions share memory"):
        behind(load_limits("local"), Network(100.0))
    with pytest.raises(UsageError, match="--bandwidth-mbit 0"):
        behind(load_limits("container-http"), Network(0.0))
