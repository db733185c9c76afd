"""How much shared memory one request may take, and all requests in flight together."""

from dataclasses import dataclass, field

from mopar.types import OverloadedError, RequestError

_MIB = 1 << 20


@dataclass(slots=True)
class MemoryBudget:
    """Counts the shared memory of requests against two limits.

    Attributes:
        request_bytes: limit of one request: inputs, outputs and all tensors in between.
        total_bytes: limit of all requests, with memory that is kept for later ones.
        held: bytes in use now.
    """

    request_bytes: int
    total_bytes: int
    held: int = field(default=0, init=False)

    def check(self, needed: int) -> None:
        """Check what one request needs against its limit, before anything is allocated.

        Raises:
            RequestError: it is more; status 413.
        """
        if needed > self.request_bytes:
            raise RequestError(
                f"the tensors of this request take {_text(needed)} on their way, one request may take "
                f"{_text(self.request_bytes)} (--max-request-mib)",
                413,
            )

    def take(self, count: int) -> None:
        """Claim memory.

        Raises:
            OverloadedError: other requests hold too much.
        """
        if self.held + count > self.total_bytes:
            raise OverloadedError(
                f"requests on their way hold {_text(self.held)} of shared memory, {_text(count)} more would pass the "
                f"limit of {_text(self.total_bytes)} (--max-memory-mib)"
            )
        self.held += count

    def give(self, count: int) -> None:
        """Return memory."""
        self.held -= count


def _text(count: int) -> str:
    return f"{count / _MIB:.1f} MiB" if count < 1 << 40 else f"2^{count.bit_length() - 1} bytes"
