"""One request on the HTTP transport: its tensors are views of the bodies in which they arrived."""

from collections.abc import Mapping, Sequence

from mopar.bundle.call_plans import CallChain, CallPlan, CallShapes, Made
from mopar.bundle.call_shapes import Shape, check_bytes
from mopar.platforms.base import Budget, CallTiming
from mopar.platforms.http.connection import Reply
from mopar.platforms.http.function import RemoteFunction
from mopar.platforms.http.replica import Replica
from mopar.platforms.http.wire import CallAnswer, Wire
from mopar.platforms.outputs import MalformedError
from mopar.types import REQUEST, DeploymentError, TensorValue


class HttpRequest:
    """A request's tensors by (tensor, producing call).

    Args:
        functions: by name.
        budget: bounds the bytes of all bodies.
        wire: what the functions speak.
    """

    def __init__(self, functions: Mapping[str, RemoteFunction], budget: Budget, wire: Wire) -> None:
        self._functions = functions
        self._budget = budget
        self._wire = wire.open(self._claim)
        self._values: dict[Made, TensorValue] = {}
        self._shapes: dict[Made, Shape | None] = {}
        self._timings: list[CallTiming] = []
        self._replicas: dict[str, Replica] = {}
        self._abandoned = False
        self._reserved = self._used = self._foreseen = 0

    @property
    def timings(self) -> Sequence[CallTiming]:
        """Of the calls that have ended."""
        return self._timings

    @property
    def foresees(self) -> bool:
        """False: nothing has to be."""
        return False

    @property
    def abandoned(self) -> bool:
        """Whether no further call may start."""
        return self._abandoned

    def abandon(self) -> None:
        """Start no further calls."""
        self._abandoned = True

    def close(self) -> None:
        """Release the tensors."""
        self.abandon()
        self._wire.close()
        self._values.clear()
        self._budget.give(self._reserved)
        self._reserved = self._used = self._foreseen = 0

    def accept(self, values: Mapping[str, TensorValue], nbytes: int) -> None:
        """Store the request's inputs, and reserve memory for its tensors.

        Raises:
            RequestError: the bytes of a value do not match its shape, or the request needs too much memory.
            OverloadedError: other requests hold the memory.
        """
        for value in values.values():
            check_bytes(value)
            self._keep(value, REQUEST)
        self._budget.check(nbytes)
        self._budget.take(nbytes)
        self._reserved = self._foreseen = nbytes
        self._used = sum(memoryview(value.data).nbytes for value in values.values())

    def value(self, name: str, dtype: str, made: Made) -> TensorValue:
        """A tensor as a view of the body in which it arrived."""
        found = self._values[made]
        if (found.name, found.dtype) == (name, dtype):
            return found
        return TensorValue(name, dtype, found.shape, found.data)

    async def run(self, plan: CallPlan, upcoming: Sequence[CallPlan], deadline: float) -> None:  # noqa: ARG002 - nothing can be prepared of them
        """Run one call."""
        call, function = plan.call, self._functions[plan.call.function]
        shapes = plan.shapes(self._shapes)
        parts = await self._wire.written(plan, self._values, deadline)
        most = self._wire.most_bytes(plan, shapes)

        def admit(length: int) -> None:
            if most is not None and length > most:
                raise DeploymentError(f"it answers with {length} bytes, where {most} are most")
            self._claim(length)

        before = self._replicas.get(function.name)
        try:
            reply, attempts, replica = await function.call(plan.graph.id, parts, admit, deadline, before)
            self._replicas[function.name] = replica
            answer = await self._read(plan, shapes, reply, replica, deadline)
        except DeploymentError:
            await self._wire.check_sent(plan, deadline)
            raise
        for made, shape in zip(plan.graph.outputs, answer.shapes, strict=True):
            self._shapes[made.name, call.id] = shape
        for value in answer.values:
            self._keep(value, call.id)
        times_ns = answer.held_ns, answer.compute_ns
        self._timings.append(CallTiming(call.id, call.function, *times_ns, attempts, bill=reply.bill))

    async def _read(
        self, plan: CallPlan, shapes: CallShapes, reply: Reply, replica: Replica, deadline: float
    ) -> CallAnswer:
        try:
            return await self._wire.read(plan, shapes, reply, deadline)
        except MalformedError as cause:
            raise replica.failed(f"its answer cannot be used: {cause}") from cause

    async def run_group(
        self,
        plans: Sequence[CallPlan],
        waits: Sequence[Sequence[int]],
        upcoming: Sequence[CallPlan],
        deadline: float,
    ) -> bool:
        """Never called: this transport runs no groups."""
        raise AssertionError(
            f"a group of {len(plans)} calls on a transport that runs none: {waits, upcoming, deadline}"
        )

    async def run_chain(self, chain: CallChain, upcoming: Sequence[CallPlan], deadline: float) -> int:
        """Never called: functions behind HTTP do not hear of each other."""
        raise AssertionError(f"a chain of {len(chain.plans)} calls on a transport that runs none: {upcoming, deadline}")

    def _keep(self, value: TensorValue, producer: str) -> None:
        self._values[value.name, producer] = value
        self._shapes[value.name, producer] = value.shape

    def _claim(self, nbytes: int) -> None:
        """Count memory as part of the reservation, which grows where it is used up, and shrinks to what was foreseen.

        Args:
            nbytes: that are taken; below 0, that are given back.
        """
        used = self._used + nbytes
        needed = max(used, self._foreseen)
        if needed > self._reserved:
            self._budget.check(needed)
            self._budget.take(needed - self._reserved)
        else:
            self._budget.give(self._reserved - needed)
        self._used, self._reserved = used, needed
