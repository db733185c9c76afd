"""Functions that speak the Open Inference Protocol with binary tensors, which ``mopar.runtime.http`` serves."""

from collections.abc import Mapping

from mopar.bundle.call_plans import CallPlan, CallShapes, Made, sizes_of
from mopar.bundle.call_shapes import tensor_bytes
from mopar.platforms.codes import EncodedValue
from mopar.platforms.http.address import Address, address_of
from mopar.platforms.http.connection import Reply
from mopar.platforms.http.messages import (
    MAX_JSON_BYTES,
    error_text,
    infer_path,
    number,
    own_error,
    read_outputs,
    request_body,
    request_head,
)
from mopar.platforms.http.wire import CallAnswer, Claim, LaterError, LostError, Parts
from mopar.platforms.request_codes import NO_CODES, PlanCodes, RequestCodes
from mopar.types import DeploymentError, RequestError, TensorValue

_BUSY = frozenset({429, 503})
_REFUSED = frozenset({400, 413, 422})
_UNREACHED = frozenset({500, 502, 503, 504})
"""Where the answer is no function's own, a proxy before the function did not reach it, or lost it during the call."""


class OipWire:
    """Implements ``Wire``.

    Args:
        codes: which tensors are sent encoded.
    """

    most_unannounced_bytes = 0

    def __init__(self, codes: PlanCodes = NO_CODES) -> None:
        self._codes = codes

    def address(self, place: str) -> Address:
        """Of a URL."""
        return address_of(place)

    def head(self, address: Address, graph: str, parts: Parts) -> bytes:
        """A ``POST`` to the graph's path."""
        return request_head(address.path + infer_path(graph), address.netloc, parts)

    def judge(self, function: str, reply: Reply) -> None:  # noqa: ARG002 - of the Protocol
        """By the status; behind a proxy it is not known why a function ended."""
        if reply.status == 200:
            return
        text = error_text(reply)
        if reply.status in _UNREACHED and own_error(reply) is None:
            said = f"a proxy answered {reply.status}: {text}"
            raise LostError(f"was not there ({said}; it may have run out of memory)")
        if reply.status in _BUSY:
            raise LaterError(text)
        if reply.status in _REFUSED:
            raise RequestError(f"the model refused these inputs: {text}", reply.status)
        raise DeploymentError(f"it answered {reply.status}: {text}")

    def open(self, claim: Claim) -> "OipCalls":
        """Requests share nothing."""
        return OipCalls(RequestCodes(self._codes, claim))

    async def close(self) -> None:
        """Nothing is kept."""


class OipCalls:
    """Implements ``CallWire``.

    Args:
        codes: of the request.
    """

    def __init__(self, codes: RequestCodes) -> None:
        self._codes = codes

    async def written(self, plan: CallPlan, values: Mapping[Made, TensorValue], deadline: float) -> Parts:
        """JSON and views of the inputs' data, or of their codes."""
        read = zip(plan.graph.inputs, plan.sources, plan.taken, strict=True)
        inputs = [await self._codes.sent(spec, made, region, values, deadline) for spec, made, region in read]
        return request_body(inputs, self._codes.texts(plan))

    def most_bytes(self, plan: CallPlan, shapes: CallShapes) -> int | None:
        """Of all outputs, and their JSON."""
        for spec, shape in zip(plan.graph.outputs, shapes.outputs, strict=True):
            if shape is None or tensor_bytes(spec.dtype, shape) is None:
                return None
        return sum(sizes_of(plan.graph.outputs, shapes.outputs)) + MAX_JSON_BYTES

    async def read(self, plan: CallPlan, shapes: CallShapes, reply: Reply, deadline: float) -> CallAnswer:
        """Outputs as views of the answer's body; codes are kept here, until a call or the request needs them."""
        outputs = read_outputs(reply, plan.graph.outputs, shapes.outputs, self._codes.texts(plan))
        values = []
        for output in outputs:
            made = (output.name, plan.call.id)
            value = await self._codes.keep(made, output, deadline) if isinstance(output, EncodedValue) else output
            if value is not None:
                values.append(value)
        times_ns = number(reply, "mopar-held-ns"), number(reply, "mopar-compute-ns")
        return CallAnswer(tuple(output.shape for output in outputs), tuple(values), *times_ns)

    async def check_sent(self, plan: CallPlan, deadline: float) -> None:
        """Codes are checked by who reads them, which cannot tell whose fault it is."""
        await self._codes.check_sent(plan.sources, deadline)

    def close(self) -> None:
        """Nothing is elsewhere."""
