"""From a chain of slices to functions, graphs and calls."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mopar.planning.model.boundary import slice_inputs, slice_outputs
from mopar.planning.model.shape import PlanShape, Size
from mopar.planning.result.gather import Made, gathered
from mopar.planning.space.problem import Problem
from mopar.planning.space.solution import Solution
from mopar.types import (
    REQUEST,
    Call,
    CallInput,
    Function,
    Graph,
    GraphPart,
    Profile,
    ProfileError,
    ShardStep,
    Share,
    TensorProfile,
)


@dataclass(frozen=True, slots=True)
class Slice:
    """Layers ``start`` to ``stop`` (exclusive) as one function, or as several in parallel.

    Attributes:
        start, stop: layers.
        size: of each function.
        steps: the sharding steps of a group of ``size.parts`` functions, in order. A run of layers that no step covers
            is computed by the first function.
    """

    start: int
    stop: int
    size: Size
    steps: tuple[ShardStep, ...] = ()


def function_names(number: int, parts: int) -> tuple[str, ...]:
    """Names of the functions of a chain's slice: ``f0``, or ``f0_0``, ``f0_1``.. for a group."""
    return (f"f{number}",) if parts == 1 else tuple(f"f{number}_{part}" for part in range(parts))


def chain_shape(profile: Profile, slices: Sequence[Slice]) -> PlanShape:
    """Slices, first to last, as functions ``f0``.. with graphs ``g0``.. and calls ``c0``...

    A slice in parts has a function for each, ``f0_0``.., with a graph for each step in which it takes part. A tensor is
    read from the calls that produce it, so skip connections pass over slices.

    Raises:
        ProfileError: an output of the model is not among the profile's tensors, or parts do not produce what is read.
    """
    builder = _Builder(profile)
    for number, piece in enumerate(slices):
        names = function_names(number, piece.size.parts if piece.steps else 1)
        if not piece.steps:
            builder.add_function(names[0], piece.size, builder.run(names[0], piece.start, piece.stop))
            continue
        held: dict[str, list[str]] = {name: [] for name in names}
        for start, stop, step in covered(piece):
            if step is None:
                held[names[0]] += builder.run(names[0], start, stop)
            else:
                for name, graph in zip(names, builder.step(names, step), strict=False):
                    held[name] += graph
        for name, graphs in held.items():
            builder.add_function(name, piece.size, graphs)
    return builder.shape()


def solution_shape(problem: Problem, solution: Solution) -> PlanShape:
    """A search's solution as functions, graphs and calls."""
    at = problem.positions
    slices = [
        Slice(at[start], at[stop], size, problem.steps_of(start, stop, size.parts))
        for start, stop, size in solution.slices
    ]
    return chain_shape(problem.question.model.profile, slices)


def covered(piece: Slice) -> list[tuple[int, int, ShardStep | None]]:
    """A slice's runs of layers in order, with their steps; None where the first function computes alone."""
    runs: list[tuple[int, int, ShardStep | None]] = []
    at = piece.start
    for step in piece.steps:
        if step.start > at:
            runs.append((at, step.start, None))
        runs.append((step.start, step.stop, step))
        at = step.stop
    if at < piece.stop:
        runs.append((at, piece.stop, None))
    return runs


@dataclass(slots=True)
class _Builder:
    """Adds graphs and calls in the order in which they run, and records the producer of each tensor."""

    profile: Profile
    functions: list[Function] = field(default_factory=list)
    graphs: list[Graph] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    makers: dict[str, list[Made]] = field(default_factory=dict)
    tensors: dict[str, TensorProfile] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tensors = {tensor.name: tensor for tensor in self.profile.tensors}
        brought = [tensor.name for tensor in self.profile.tensors if tensor.producer < 0]
        self.makers = {name: [Made(REQUEST, Share(name))] for name in brought}

    def add_function(self, name: str, size: Size, graphs: Sequence[str]) -> None:
        self.functions.append(Function(name, tuple(graphs), size.memory_mib, size.cpu, size.threads))

    def run(self, function: str, start: int, stop: int) -> list[str]:
        """Add a run of layers computed by one function; return the name of its graph."""
        entering = [Share(tensor.name) for tensor in slice_inputs(self.profile.tensors, start, stop)]
        leaving = [Share(tensor.name) for tensor in slice_outputs(self.profile.tensors, start, stop)]
        call = self._call(f"{len(self.calls)}", function, (start, stop), entering, leaving, None)
        self._made([(call, leaving)])
        return [call.graph]

    def step(self, functions: Sequence[str], step: ShardStep) -> list[list[str]]:
        """Add a step of several functions; return the names of each one's graphs: one, or none for an empty part."""
        number = len(self.calls)
        made: list[tuple[Call, Sequence[Share]]] = []
        held: list[list[str]] = []
        for function, part in zip(functions, step.parts, strict=False):
            place = part.part
            if not place.outputs:
                held.append([])
                continue
            name = f"{number}_{place.index}"
            call = self._call(name, function, (step.start, step.stop), place.inputs, place.outputs, place)
            made.append((call, place.outputs))
            held.append([call.graph])
        self._made(made)
        return held

    def shape(self) -> PlanShape:
        return PlanShape(tuple(self.functions), tuple(self.graphs), tuple(self.calls), self._outputs())

    def _call(
        self,
        name: str,
        function: str,
        layers: tuple[int, int],
        taken: Sequence[Share],
        given: Sequence[Share],
        part: GraphPart | None,
    ) -> Call:
        inputs = tuple(self._input(share) for share in taken)
        outputs = tuple(share.tensor for share in given)
        self.graphs.append(Graph(f"g{name}", *layers, tuple(item.tensor for item in inputs), outputs, part))
        self.calls.append(Call(f"c{name}", function, f"g{name}", inputs, outputs))
        return self.calls[-1]

    def _input(self, taken: Share) -> CallInput:
        if taken.tensor not in self.makers:
            raise ProfileError(f"nothing makes {taken.tensor} before it is read: profile the model again")
        return gathered(self.tensors[taken.tensor], self.makers[taken.tensor], taken)

    def _made(self, calls: Sequence[tuple[Call, Sequence[Share]]]) -> None:
        """For parallel calls: the share of each tensor that each produces."""
        found: dict[str, list[Made]] = {}
        for call, given in calls:
            for share in given:
                found.setdefault(share.tensor, []).append(Made(call.id, share))
        self.makers.update(found)

    def _outputs(self) -> tuple[tuple[str, str], ...]:
        found = []
        for spec in self.profile.outputs:
            makers: Sequence[Made] = self.makers.get(spec.name, ())
            if len(makers) != 1 or makers[0].share != Share(spec.name):
                raise ProfileError(f"no call makes all of the model's output {spec.name!r}: profile the model again")
            found.append((spec.name, makers[0].producer))
        return tuple(found)
