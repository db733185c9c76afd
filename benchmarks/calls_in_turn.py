"""A transport that makes one call at a time, for what calls take that run on hosts of their own."""

import asyncio
import time
from collections.abc import Mapping, Sequence

from mopar.bundle.call_plans import CallPlan, Made
from mopar.platforms.base import NO_HOMES, CallTiming, OpenRequest, Transport
from mopar.segments import Place
from mopar.types import REQUEST, Plan, TensorValue


class OneAtATime:
    """A transport whose calls wait for each other, one request at a time.

    Attributes:
        took_ms: by call, how long it took from when no other ran.
    """

    runs_groups = runs_chains = maps_clients_memory = False

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.turn, self.took_ms = asyncio.Lock(), dict[str, float]()

    def ready(self) -> bool:
        """As the transport."""
        return self._transport.ready()

    def open(
        self,
        inputs: Mapping[str, TensorValue],
        nbytes: int,
        homes: Mapping[Made, Place] = NO_HOMES,
        *,
        foresee: bool = True,
    ) -> OpenRequest:
        """As the transport, with calls in turn."""
        return _InTurn(self._transport.open(inputs, nbytes, homes, foresee=foresee), self)

    async def close(self) -> None:
        """As the transport."""
        await self._transport.close()

    def path_ms(self, plan: Plan) -> float:
        """The longest path through the calls of the request that was answered."""
        done_ms = {REQUEST: 0.0}
        for call in plan.calls:
            begin_ms = max((done_ms[source.producer] for item in call.inputs for source in item.sources), default=0.0)
            done_ms[call.id] = begin_ms + self.took_ms[call.id]
        return max(done_ms.values())


class _InTurn:
    """A request of such a transport."""

    def __init__(self, request: OpenRequest, transport: OneAtATime) -> None:
        self._request, self._transport = request, transport

    @property
    def timings(self) -> Sequence[CallTiming]:
        return self._request.timings

    @property
    def foresees(self) -> bool:
        return self._request.foresees

    @property
    def abandoned(self) -> bool:
        return self._request.abandoned

    async def run(self, plan: CallPlan, upcoming: Sequence[CallPlan], deadline: float) -> None:
        async with self._transport.turn:
            began = time.perf_counter()
            await self._request.run(plan, upcoming, deadline)
            self._transport.took_ms[plan.call.id] = (time.perf_counter() - began) * 1e3

    async def run_group(self, *_calls: object) -> bool:
        return False

    async def run_chain(self, *_calls: object) -> int:
        return 0

    def value(self, name: str, dtype: str, made: Made) -> TensorValue:
        return self._request.value(name, dtype, made)

    def abandon(self) -> None:
        self._request.abandon()

    def close(self) -> None:
        self._request.close()
