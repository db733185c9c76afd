"""A network between a gateway and its functions."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Network:
    """What a network adds to calls, planned for or emulated.

    Attributes:
        bandwidth_mbit: of each direction, in 10^6 bits per second, for all functions together; None for no bound.
        rtt_ms: round-trip time, of which half delays each body.
    """

    bandwidth_mbit: float | None = None
    rtt_ms: float = 0.0

    def __str__(self) -> str:
        """As text, for notes."""
        speed = "" if self.bandwidth_mbit is None else f"{self.bandwidth_mbit:g} Mbit/s, "
        return f"{speed}{self.rtt_ms:g} ms round trip"
