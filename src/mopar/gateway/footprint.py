"""How much shared memory a request will take, computed from its shapes before anything is allocated."""

from collections.abc import Mapping, Sequence

from mopar.bundle.call_plans import CallPlan, Made, sizes_of
from mopar.bundle.call_shapes import Shape, tensor_bytes
from mopar.types import REQUEST, TensorValue

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
        """Bytes of one request: exact, but without tensors whose size does not follow from its shapes.

        Raises:
            RequestError: a tensor's shape does not fit a call, or a call's tensors do not fit its function.
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
            total += _aligned(tensor_bytes(value.dtype, value.shape) or 0)
        for plan in self._plans:
            made = plan.shapes(shapes).outputs
            shapes |= {(spec.name, plan.call.id): shape for spec, shape in zip(plan.graph.outputs, made, strict=True)}
            total += sum(map(_aligned, sizes_of(plan.graph.outputs, made)))
        return total


def _aligned(count: int) -> int:
    return -(-count // _ALIGNMENT) * _ALIGNMENT
