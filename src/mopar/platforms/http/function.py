"""A function called over HTTP: how many calls it runs at a time, and which of its replicas runs each."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from mopar.platforms.http.connection import Admit, Reply
from mopar.platforms.http.replica import Replica, Waiting
from mopar.platforms.http.wire import LaterError, Parts
from mopar.platforms.turns import Turns, twice
from mopar.types import PlatformError

_LEFT_OUT_S = 2.0
"""How long a replica that could not be reached, or died, is asked only where there is no other."""


@dataclass(slots=True)
class Payload:
    """Bytes of bodies to and from a function, without those of calls that ended in an error."""

    calls: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0


class RemoteFunction:
    """A function that is called over HTTP.

    Calls go to the replica that runs the fewest, and all calls of a request to the same one, as long as it can be
    reached.

    Args:
        name: of the function.
        replicas: at least one.
        concurrency: calls at a time of each replica, and so connections.
    """

    def __init__(self, name: str, replicas: Sequence[Replica], concurrency: int) -> None:
        self.name = name
        self.replicas = tuple(replicas)
        self.payload = Payload()
        self._turns = Turns(f"function {name}", concurrency * len(self.replicas))
        self._next = 0

    async def call(
        self,
        graph: str,
        parts: Parts,
        admit: Admit,
        deadline: float,
        before: Replica | None = None,
    ) -> tuple[Reply, int, Replica]:
        """Run an inference; if the function dies during it, it is tried once more.

        Args:
            graph: its name.
            parts: of the request's body.
            admit: called with the size of the answer's body before memory is allocated for it.
            deadline: on the clock of ``time.monotonic``.
            before: the replica that ran earlier calls of the request.

        Returns:
            An answer with outputs, or with an error that the function tells in its place, the attempts that it took,
            and the replica that gave it.

        Raises:
            RequestError: the graph refused the inputs.
            OverloadedError: it was busy, or could not be reached, until the deadline.
            OutOfMemoryError: it was killed because the call needed too much memory.
            DeploymentError: it failed, died twice, or did not answer in time.
        """

        async def answered() -> tuple[Reply, Replica]:
            waiting = Waiting(deadline)
            while True:
                replica = self._chosen(before)
                await replica.watch.until_ready(deadline)
                try:
                    return await replica.ask(graph, parts, admit, deadline), replica
                except LaterError as error:
                    if all(other.missing_since is not None for other in self.replicas) or replica.missing_since is None:
                        await waiting.pause(replica, error)
                except PlatformError:
                    replica.missing_since = time.monotonic()
                    raise

        async with self._turns.take(deadline):
            (reply, replica), attempts = await twice(answered)
        self.payload.calls += 1
        self.payload.sent_bytes += sum(map(len, parts))
        self.payload.received_bytes += len(reply.body)
        return reply, attempts, replica

    def ready(self) -> bool:
        """Whether a call would be answered now, as far as is known."""
        return any(replica.watch.ready() for replica in self.replicas)

    def close(self) -> None:
        """Close its connections. No call may be running."""
        for replica in self.replicas:
            replica.close()

    def _chosen(self, before: Replica | None) -> Replica:
        """The replica for a call: ``before`` if it can be reached, else the one that runs the fewest, in turn."""
        latest = time.monotonic() - _LEFT_OUT_S
        present = [other for other in self.replicas if other.missing_since is None or other.missing_since < latest]
        if before is not None and before in present:
            return before
        self._next += 1
        among: Sequence[Replica] = present or self.replicas
        first = self._next % len(among)
        in_turn: list[Replica] = [*among[first:], *among[:first]]
        return min(in_turn, key=lambda replica: replica.running)
