"""What a request will take of shared memory, told from its shapes before anything is allocated."""

from collections.abc import Mapping, Sequence

from mopar.gateway.layout import Shape, bind_dimensions, resolve_shape, tensor_bytes
from mopar.gateway.request import CallPlan, Made
from mopar.types import REQUEST, Region, TensorSpec, TensorValue

_ALIGNMENT = 64
_MOST_KEPT = 512
_FLAG_BYTES = 4096
"""For the flags by which parts wait for each other."""


class Footprint:
    """Shared memory of requests by their inputs' shapes: every tensor of known size, inputs included.

    Args:
        plans: the manifest's calls, in an order in which they can run.
    """

    def __init__(self, plans: Sequence[CallPlan]) -> None:
        self._plans = tuple(plans)
        self._known: dict[tuple[tuple[str, Shape], ...], int] = {}

    def bytes_of(self, values: Mapping[str, TensorValue]) -> int:
        """Of one request, exactly, but for tensors whose size follows from no shape.

        Raises:
            RequestError: a tensor's shape does not fit a call.
        """
        fixed = sum(len(value.data) for value in values.values() if value.dtype == "string")
        key = tuple((name, value.shape) for name, value in values.items())
        found = self._known.get(key)
        if found is None:
            found = self._counted(values)
            if len(self._known) >= _MOST_KEPT:
                self._known.clear()
            self._known[key] = found
        return found + fixed

    def _counted(self, values: Mapping[str, TensorValue]) -> int:
        shapes: dict[Made, Shape | None] = {(name, REQUEST): value.shape for name, value in values.items()}
        total = _FLAG_BYTES
        for value in values.values():
            total += _aligned(tensor_bytes(value.dtype, value.shape))
        for plan in self._plans:
            regions = [item.sources[0].region for item in plan.call.inputs]
            taken = {
                spec.name: _of_region(shapes.get(made), region)
                for spec, made, region in zip(plan.graph.inputs, plan.sources, regions, strict=True)
            }
            known = {name: shape for name, shape in taken.items() if shape is not None}
            sizes = bind_dimensions([spec for spec in plan.graph.inputs if spec.name in known], known)
            for spec in plan.graph.outputs:
                shape = resolve_shape(spec, sizes)
                shapes[spec.name, plan.call.id] = shape
                total += _aligned(_bytes_of(spec, shape))
        return total


def _bytes_of(spec: TensorSpec, shape: Shape | None) -> int | None:
    return None if shape is None else tensor_bytes(spec.dtype, shape)


def _of_region(shape: Shape | None, region: Region | None) -> Shape | None:
    if shape is None or region is None or region.axis >= len(shape):
        return shape
    return (*shape[: region.axis], region.stop - region.start, *shape[region.axis + 1 :])


def _aligned(count: int | None) -> int:
    return 0 if count is None else -(-count // _ALIGNMENT) * _ALIGNMENT
