"""Platforms whose functions are behind a network: what it adds to a call."""

from dataclasses import replace

from mopar.platforms.base import check_network
from mopar.types import Network, PlatformLimits, UsageError

OVER_HTTP = "container-http"
"""Functions of this machine that are called over HTTP, as ``mopar serve --transport http`` runs them."""
_MIB_BITS = 8 * (1 << 20)
_INSIDE_SHARE = 0.5
"""Of a network's time: functions are held while a request's body arrives, and not while their answer leaves."""


def behind(limits: PlatformLimits, network: Network | None) -> PlatformLimits:
    """The limits with the network's time added to the platform's own costs of a call.

    Raises:
        UsageError: the network's figures make no sense, or functions of the platform share memory.
    """
    if network is None:
        return limits
    check_network(network)
    if limits.shares_memory:
        raise UsageError(
            f"--platform {limits.name}: its functions share memory, so no network lies between them: "
            "leave out --bandwidth-mbit and --rtt-ms, or plan for container-http"
        )
    per_mib_ms = 0.0 if network.bandwidth_mbit is None else _MIB_BITS / (network.bandwidth_mbit * 1e6) * 1e3
    return replace(
        limits,
        hop_ms=limits.hop_ms + network.rtt_ms,
        hop_ms_per_mib=limits.hop_ms_per_mib + per_mib_ms,
        hop_billed_share=_mean(limits.hop_ms, limits.hop_billed_share, network.rtt_ms),
        wire_billed_share=_mean(limits.hop_ms_per_mib, limits.wire_billed_share, per_mib_ms),
    )


def _mean(own_ms: float, own_share: float, network_ms: float) -> float:
    """The billed share of the platform's own time and the network's together."""
    total_ms = own_ms + network_ms
    return (own_ms * own_share + network_ms * _INSIDE_SHARE) / total_ms if total_ms else own_share
