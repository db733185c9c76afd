"""How much shared memory requests may take: one alone, and all that are on their way together."""

from dataclasses import dataclass, field

from mopar.types import OverloadedError, RequestError

_MIB = 1 << 20


@dataclass(slots=True)
class MemoryBudget:
    """Shared memory that a gateway hands out.

    Attributes:
        request_bytes: for one request, with all that the plan makes on the way to its answer.
        total_bytes: for all requests, and what is kept for the next ones.
        held: handed out now.
    """

    request_bytes: int
    total_bytes: int
    held: int = field(default=0, init=False)

    def check(self, needed: int) -> None:
        """Hold what a request needs against what one may take, before anything is allocated.

        Raises:
            RequestError: 413, it is more.
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
            OverloadedError: others hold too much.
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
