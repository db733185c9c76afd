"""How the graphs of a state machine's calls see tensors: under names of their own, or as regions of stored ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mopar.bundle.call_plans import CallPlan, Made
from mopar.bundle.call_shapes import Shape, tensor_bytes
from mopar.types import REQUEST, Manifest, PlatformError, Region, TensorSpec


@dataclass(frozen=True, slots=True)
class View:
    """What of a tensor's entry is another for the graph that reads it.

    Attributes:
        name: that the graph has for it.
        shape: of a region; None for the whole tensor.
        offset, nbytes: of the region in the tensor's object.
    """

    name: str
    shape: Shape | None = None
    offset: int = 0
    nbytes: int = 0

    def entry(self) -> dict[str, object]:
        """The fields that replace those of the tensor's entry."""
        if self.shape is None:
            return {"name": self.name}
        return {"name": self.name, "shape": self.shape, "offset": self.offset, "bytes": self.nbytes}


def views_of(manifest: Manifest, plans: Sequence[CallPlan]) -> Mapping[tuple[str, int], View]:
    """(call, place of an input) -> how its graph sees it, where that differs from how it was made.

    Raises:
        PlatformError: where a region is in its tensor follows from the request's shapes.
    """
    specs: dict[Made, TensorSpec] = {(spec.name, REQUEST): spec for spec in manifest.inputs}
    for plan in plans:
        specs |= {(spec.name, plan.call.id): spec for spec in plan.graph.outputs}
    found = {}
    for plan in plans:
        for place, (made, spec) in enumerate(zip(plan.sources, plan.graph.inputs, strict=True)):
            region = plan.taken[place]
            if region is not None:
                found[plan.call.id, place] = _part(plan, spec.name, specs[made], region)
            elif made[0] != spec.name:
                found[plan.call.id, place] = View(spec.name)
    return found


def _part(plan: CallPlan, name: str, spec: TensorSpec, region: Region) -> View:
    dims = spec.shape or ()
    rest = tuple(dim for dim in dims[region.axis + 1 :] if isinstance(dim, int))
    stride = tensor_bytes(spec.dtype, rest)
    if spec.shape is None or stride is None or len(rest) < len(dims) - region.axis - 1:
        raise PlatformError(
            f"call {plan.call.id} of function {plan.call.function} reads a region of {spec.name}, whose place follows "
            "from the request's shapes: use --orchestration gateway, or plan for one shape"
        )
    size = region.stop - region.start
    return View(name, (*(1,) * region.axis, size, *rest), region.start * stride, size * stride)
