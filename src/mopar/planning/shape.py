"""A plan's functions, graphs and calls, without its figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mopar.planning.boundary import slice_inputs, slice_outputs
from mopar.planning.sizes import Size
from mopar.types import REQUEST, Call, CallInput, Function, Graph, Plan, Profile, ProfileError, Source


@dataclass(frozen=True, slots=True)
class PlanShape:
    """What ``evaluate`` needs of a plan: calls stand in an order in which they can run."""

    functions: tuple[Function, ...]
    graphs: tuple[Graph, ...]
    calls: tuple[Call, ...]
    outputs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Slice:
    """Layers ``start`` to ``stop`` (exclusive) as a function of its own."""

    start: int
    stop: int
    size: Size


def shape_of(plan: Plan) -> PlanShape:
    """A plan's shape."""
    return PlanShape(plan.functions, plan.graphs, plan.calls, plan.outputs)


def chain_shape(profile: Profile, slices: Sequence[Slice]) -> PlanShape:
    """Slices, first to last, as functions ``f0``.. with graphs ``g0``.. and one call each, ``c0``...

    A tensor is taken from the call that makes it, so skip connections reach over slices.

    Raises:
        ProfileError: an output of the model is not among the profile's tensors.
    """
    makers = {index: f"c{number}" for number, piece in enumerate(slices) for index in range(piece.start, piece.stop)}
    makers[-1] = REQUEST
    graphs, calls, functions = [], [], []
    for number, piece in enumerate(slices):
        entering = slice_inputs(profile, piece.start, piece.stop)
        leaving = tuple(tensor.name for tensor in slice_outputs(profile, piece.start, piece.stop))
        inputs = tuple(CallInput(tensor.name, (Source(makers[tensor.producer], tensor.name),)) for tensor in entering)
        names = tuple(tensor.name for tensor in entering)
        graphs.append(Graph(f"g{number}", piece.start, piece.stop, names, leaving))
        calls.append(Call(f"c{number}", f"f{number}", f"g{number}", inputs, leaving))
        functions.append(
            Function(f"f{number}", (f"g{number}",), piece.size.memory_mib, piece.size.cpu, piece.size.threads)
        )
    return PlanShape(tuple(functions), tuple(graphs), tuple(calls), _outputs(profile, makers))


def _outputs(profile: Profile, makers: Mapping[int, str]) -> tuple[tuple[str, str], ...]:
    producers = {tensor.name: tensor.producer for tensor in profile.tensors}
    missing = [spec.name for spec in profile.outputs if spec.name not in producers]
    if missing:
        raise ProfileError(f"the profile has no tensor for the model's output {missing[0]!r}: profile the model again")
    return tuple((spec.name, makers[producers[spec.name]]) for spec in profile.outputs)
