"""The calls of one request to functions on Lambda: tensors in messages, and those that no message holds in a bucket."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mopar.bundle.call_plans import CallPlan, CallShapes, Made
from mopar.bundle.call_shapes import Shape, region_shape, tensor_bytes
from mopar.platforms.aws_lambda.messages import (
    Sent,
    StoredValue,
    StorePlace,
    invoke_message,
    message_bytes,
    read_answer,
    sent_bytes,
)
from mopar.platforms.codes import EncodedValue
from mopar.platforms.http.connection import Reply
from mopar.platforms.http.wire import CallAnswer, Claim, Parts
from mopar.platforms.outputs import MalformedError, checked_data
from mopar.platforms.request_codes import PlanCodes, RequestCodes
from mopar.runtime.aws_lambda.wire import MOST_BODY_BYTES
from mopar.types import REQUEST, DeploymentError, Region, TensorSpec, TensorValue

if TYPE_CHECKING:
    from mopar.platforms.aws_lambda.tensors import TensorStore


class LambdaCalls:
    """Implements ``CallWire``.

    A tensor that a function has put into the bucket is read there by the functions that need it. The gateway gets the
    request's outputs alone.

    Args:
        store: for tensors that no message holds; None for none.
        codes: which tensors are sent encoded, and which leave the functions.
        claim: counts what is kept here.
        pointers: whether stored outputs stay where they are, and are named alone.
    """

    def __init__(self, store: "TensorStore | None", codes: PlanCodes, claim: Claim, *, pointers: bool = False) -> None:
        self._store = store
        self._wanted = codes.outputs
        self._codes = RequestCodes(codes, claim)
        self._claim = claim
        self._pointers = pointers
        self._prefix = "" if store is None else store.new_prefix()
        self._stored: dict[Made, StoredValue] = {}
        self._keys: list[str] = []
        self._named: set[str] = set()
        self._missing = {made for made in codes.outputs if made[1] != REQUEST}
        self._storing = asyncio.Lock()

    async def written(self, plan: CallPlan, values: Mapping[Made, TensorValue], deadline: float) -> Parts:
        """The message of a call; the largest of its tensors are stored until the others fit into it."""
        inputs, encodings = await self._inputs(plan, values, deadline), self._codes.texts(plan)
        if self._store is None:
            return [invoke_message(plan.graph.id, inputs, None, encodings)]
        place = StorePlace(self._store.bucket, self._prefix)
        while message_bytes(plan.graph.id, inputs, place, encodings) > MOST_BODY_BYTES:
            sizes = [sent_bytes(value) for value in inputs]
            if not any(sizes):
                break
            await self._put(plan.sources[sizes.index(max(sizes))], values, deadline)
            inputs = await self._inputs(plan, values, deadline)
        return [invoke_message(plan.graph.id, inputs, place, encodings)]

    def most_bytes(self, plan: CallPlan, shapes: CallShapes) -> int:  # noqa: ARG002 - of the Protocol
        """Lambda's limit, with room for an emulator's own words."""
        return MOST_BODY_BYTES

    async def read(self, plan: CallPlan, shapes: CallShapes, reply: Reply, deadline: float) -> CallAnswer:
        """Outputs decoded from the answer, or got from the bucket where they leave the functions."""
        encodings = self._codes.texts(plan)
        answer = read_answer(plan.call.function, reply.body, plan.graph.outputs, shapes.outputs, encodings)
        found = []
        for value in answer.outputs:
            made = (value.name, plan.call.id)
            self._missing.discard(made)
            if isinstance(value, EncodedValue):
                decoded = await self._codes.keep(made, value, deadline)
                found += [] if decoded is None else [decoded]
                continue
            if not isinstance(value, StoredValue):
                found.append(value)
                continue
            self._stored[made] = value
            self._keys.append(value.key)
            if made in self._wanted and self._pointers:
                self._named.add(value.key)
                found.append(value)
            elif made in self._wanted:
                found.append(await self._got(value, deadline))
        shapes_made = tuple(value.shape for value in answer.outputs)
        return CallAnswer(shapes_made, tuple(found), answer.held_ns, answer.compute_ns)

    async def check_sent(self, plan: CallPlan, deadline: float) -> None:
        """Codes are checked by who reads them, which cannot tell whose fault it is."""
        await self._codes.check_sent(plan.sources, deadline)

    def close(self) -> None:
        """Have the request's objects deleted, but those that are its answer."""
        named = set() if self._missing else self._named
        left = [key for key in self._keys if key not in named]
        if self._store is not None and left:
            self._store.delete_soon(left)
        self._keys.clear()

    async def _inputs(self, plan: CallPlan, values: Mapping[Made, TensorValue], deadline: float) -> list[Sent]:
        read = zip(plan.graph.inputs, plan.sources, plan.taken, strict=True)
        return [await self._input(spec, made, region, values, deadline) for spec, made, region in read]

    async def _input(
        self,
        spec: TensorSpec,
        made: Made,
        region: Region | None,
        values: Mapping[Made, TensorValue],
        deadline: float,
    ) -> Sent:
        value = self._stored.get(made, values.get(made))
        return (
            _part(spec, value, region)
            if isinstance(value, StoredValue)
            else await self._codes.sent(spec, made, region, values, deadline)
        )

    async def _put(self, made: Made, values: Mapping[Made, TensorValue], deadline: float) -> None:
        """Store a whole tensor, of which others may read other regions."""
        assert self._store is not None, "compared before"
        async with self._storing:
            if made in self._stored:  # by another call meanwhile
                return
            value = await self._codes.raw(made, values, deadline)
            key = f"{self._prefix}{len(self._keys)}"
            self._keys.append(key)
            await self._store.put(key, memoryview(value.data).cast("B"), deadline)
            self._stored[made] = StoredValue(value.name, value.dtype, value.shape, key)

    async def _got(self, value: StoredValue, deadline: float) -> TensorValue:
        if self._store is None:
            raise MalformedError(f"output {value.name} is an object, and there is no bucket")
        needed = tensor_bytes(value.dtype, value.shape)

        def admit(length: int) -> None:
            if needed is not None and length != needed:
                raise DeploymentError(f"object {value.key} has {length} bytes, its shape needs {needed}")
            self._claim(length)

        data = await self._store.get(value.key, admit, deadline)
        return checked_data(TensorValue(value.name, value.dtype, value.shape, data))


def _part(spec: TensorSpec, value: StoredValue, region: Region | None) -> StoredValue:
    """What a call reads of a stored tensor: all of it, or a contiguous region."""
    if region is None:
        return StoredValue(spec.name, spec.dtype, value.shape, value.key, value.offset, value.length)
    shape: Shape = region_shape(value.name, value.shape, region)
    whole = tensor_bytes(value.dtype, value.shape)
    assert whole is not None, "a region of strings is not contiguous"
    stride = whole // value.shape[region.axis]
    start, size = (value.offset or 0) + region.start * stride, region.stop - region.start
    return StoredValue(spec.name, spec.dtype, shape, value.key, start, size * stride)
