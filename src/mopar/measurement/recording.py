"""One request taken apart: what every call of a plan gets and gives."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import uvloop

from mopar.bundle import Bundle
from mopar.bundle.call_plans import CallPlan, call_plans
from mopar.bundle.call_shapes import region_value, tensor_bytes
from mopar.gateway.arrays import Array, from_array, to_array
from mopar.measurement.policy import LATENCY
from mopar.platforms import host_platform
from mopar.platforms.base import OpenRequest, RecordedCall
from mopar.types import TensorValue


@dataclass(frozen=True, slots=True)
class Recording:
    """A request's calls by function, and its answer."""

    calls: Mapping[str, tuple[RecordedCall, ...]]
    outputs: Mapping[str, Array]

    @property
    def bytes(self) -> int:
        """Of all tensors that calls take and give."""
        values = (value for calls in self.calls.values() for call in calls for value in (*call.inputs, *call.outputs))
        return sum(len(value.data) for value in values)


def record(bundle: Bundle, inputs: Mapping[str, Array]) -> Recording:
    """Run one request, call by call, without limits.

    Raises:
        EngineError, PlatformError: a function cannot be loaded.
        RequestError: the inputs do not fit the model.
        DeploymentError: a function failed.
    """
    return uvloop.run(_record(bundle, inputs))


async def _record(bundle: Bundle, inputs: Mapping[str, Array]) -> Recording:
    manifest = bundle.manifest
    calls: dict[str, list[RecordedCall]] = {function.name: [] for function in manifest.plan.functions}
    async with host_platform().start(bundle, limits=False) as deployment:
        transport = deployment.transport()
        request = transport.open({name: from_array(name, value) for name, value in inputs.items()}, 0)
        try:
            for plan in call_plans(manifest):
                await request.run(plan, (), time.monotonic() + LATENCY.call_s)
                calls[plan.call.function].append(_recorded(plan, request))
            makers = dict(manifest.plan.outputs)
            answer = [request.value(spec.name, spec.dtype, (spec.name, makers[spec.name])) for spec in manifest.outputs]
            outputs = {value.name: to_array(value).copy() for value in answer}
        finally:
            request.close()
            await transport.close()
    return Recording({name: tuple(found) for name, found in calls.items()}, outputs)


def _recorded(plan: CallPlan, request: OpenRequest) -> RecordedCall:
    sources = [
        request.value(spec.name, spec.dtype, made) for spec, made in zip(plan.graph.inputs, plan.sources, strict=True)
    ]
    shapes = plan.shapes({made: value.shape for made, value in zip(plan.sources, sources, strict=True)})
    taken = [region_value(value, region) for value, region in zip(sources, plan.taken, strict=True)]
    outputs = [request.value(spec.name, spec.dtype, (spec.name, plan.call.id)) for spec in plan.graph.outputs]
    return RecordedCall(
        id=plan.call.id,
        graph=plan.index,
        inputs=tuple(map(_kept, taken)),
        outputs=tuple(map(_kept, outputs)),
        bound=tuple(
            shape is not None and tensor_bytes(spec.dtype, shape) is not None
            for spec, shape in zip(plan.graph.outputs, shapes.outputs, strict=True)
        ),
    )


def _kept(value: TensorValue) -> TensorValue:
    return TensorValue(value.name, value.dtype, value.shape, bytes(value.data))
