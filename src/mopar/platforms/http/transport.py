"""Calls over HTTP, by default of OIP v2: the transport to functions that may be anywhere."""

from collections.abc import Mapping, Sequence

from mopar.bundle.call_plans import Made
from mopar.platforms.base import NO_HOMES, Budget, Unbounded
from mopar.platforms.http.function import Payload, RemoteFunction
from mopar.platforms.http.network import Direction
from mopar.platforms.http.oip import OipWire
from mopar.platforms.http.replica import Replica
from mopar.platforms.http.request import HttpRequest
from mopar.platforms.http.watch import Unwatched, Watch
from mopar.platforms.http.wire import Wire
from mopar.segments import Place
from mopar.types import Network, TensorValue


class HttpTransport:
    """Calls functions over HTTP, on connections that are kept.

    Args:
        endpoints: function -> places of its replicas, by default base URLs of HTTP servers.
        budget: bounds the bytes of requests' bodies on this machine; by default nothing does.
        network: to emulate between here and the functions; by default none.
        watches: function -> what reports the state of its only process; by default nothing is known of it.
        concurrency: calls at a time to each replica.
        wire: what functions speak; by default OIP v2. Closed with the transport.

    Raises:
        UsageError: a place is malformed.
    """

    def __init__(
        self,
        endpoints: Mapping[str, Sequence[str]],
        budget: Budget | None = None,
        network: Network | None = None,
        *,
        watches: Mapping[str, Watch] | None = None,
        concurrency: int = 1,
        wire: Wire | None = None,
    ) -> None:
        self._wire: Wire = wire if wire is not None else OipWire()
        self._budget: Budget = budget if budget is not None else Unbounded()
        directions = None if network is None else (Direction(network), Direction(network))
        known: Mapping[str, Watch] = watches or {}
        self._functions = {
            name: RemoteFunction(
                name,
                [Replica(name, place, known.get(name, Unwatched()), directions, self._wire) for place in places],
                concurrency,
            )
            for name, places in endpoints.items()
        }

    @property
    def runs_groups(self) -> bool:
        """False: functions behind HTTP cannot wait for each other."""
        return False

    @property
    def maps_clients_memory(self) -> bool:
        """False: functions may be on other machines."""
        return False

    @property
    def runs_chains(self) -> bool:
        """False: nor can they call each other."""
        return False

    @property
    def payloads(self) -> Mapping[str, Payload]:
        """Function -> what its calls sent and received."""
        return {name: function.payload for name, function in self._functions.items()}

    def ready(self) -> bool:
        """Whether every function would answer now, as far as is known."""
        return all(function.ready() for function in self._functions.values())

    def open(
        self,
        inputs: Mapping[str, TensorValue],
        nbytes: int,
        homes: Mapping[Made, Place] = NO_HOMES,  # noqa: ARG002 - never any
        *,
        foresee: bool = True,  # noqa: ARG002 - bodies have any size
    ) -> HttpRequest:
        """Begin a request; its inputs are not copied."""
        request = HttpRequest(self._functions, self._budget, self._wire)
        try:
            request.accept(inputs, nbytes)
        except BaseException:  # an interrupt too: its memory is given back
            request.close()
            raise
        return request

    async def close(self) -> None:
        """Close the connections."""
        await self._wire.close()
        for function in self._functions.values():
            function.close()
