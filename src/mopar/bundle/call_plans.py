"""A manifest's calls with what is needed to run them, and the shapes of their outputs given those of their inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from mopar.bundle.call_shapes import Shape, bind_dimensions, region_shape, resolve_shape, tensor_bytes
from mopar.types import REQUEST, Call, GraphEntry, Manifest, Region, RequestError, TensorSpec

_MIB = 1 << 20

Made = tuple[str, str]
"""A tensor's name, and the id of the call that produced it."""


@dataclass(frozen=True, slots=True)
class CallShapes:
    """Shapes of a call's inputs and outputs, in the graph's order; None where one is not known before the run."""

    inputs: tuple[Shape | None, ...]
    outputs: tuple[Shape | None, ...]


@dataclass(frozen=True, slots=True)
class CallPlan:
    """A call of a manifest.

    Attributes:
        call: the call.
        graph: that it runs.
        index: of the graph in its function.
        sources: the tensor that each input is read from; where several reach it as one, the first.
        taken: the region of its source that each input is, contiguous in memory; None for all of it.
        regions: all regions that the plan reads of the call's sources, those included that its graph slices itself.
        memory_mib: its function's limit; None where none is set.
    """

    call: Call
    graph: GraphEntry
    index: int
    sources: tuple[Made, ...]
    taken: tuple[Region | None, ...]
    regions: tuple[tuple[Made, Region], ...]
    memory_mib: int | None = None

    @property
    def producers(self) -> frozenset[str]:
        """The calls that it waits for."""
        return frozenset(producer for _, producer in self.sources) - {REQUEST}

    @property
    def made(self) -> tuple[Made, ...]:
        """Its outputs, in the graph's order."""
        return tuple((name, self.call.id) for name in self.call.outputs)

    def shapes(self, known: Mapping[Made, Shape | None]) -> CallShapes:
        """The call's shapes, given the shapes of its sources.

        Raises:
            RequestError: they do not fit the plan, or the call's tensors exceed its function's memory.
        """
        for made, region in self.regions:
            if (whole := known.get(made)) is not None:
                region_shape(made[0], whole, region)
        inputs = tuple(
            _of(made[0], known.get(made), region) for made, region in zip(self.sources, self.taken, strict=True)
        )
        given = {spec.name: shape for spec, shape in zip(self.graph.inputs, inputs, strict=True) if shape is not None}
        sizes = bind_dimensions([spec for spec in self.graph.inputs if spec.name in given], given)
        found = CallShapes(inputs, tuple(resolve_shape(spec, sizes) for spec in self.graph.outputs))
        self._check_room(found)
        return found

    def _check_room(self, shapes: CallShapes) -> None:
        """Check that the function can hold the call's tensors, before they are allocated or it is killed."""
        if self.memory_mib is None:
            return
        needed_mib = (
            sum(sizes_of(self.graph.inputs, shapes.inputs) + sizes_of(self.graph.outputs, shapes.outputs)) / _MIB
        )
        if needed_mib > self.memory_mib:
            raise RequestError(
                f"function {self.call.function} would hold {needed_mib:.0f} MiB of tensors for this request, its "
                f"memory is {self.memory_mib} MiB: profile, plan and build the model again with --input ranges that "
                "such requests fit"
            )


@dataclass(frozen=True, slots=True, eq=False)
class CallChain:
    """Calls of different functions that can only run one after the other.

    Attributes:
        plans: each reads from the one before.
        sources: what they read that is there when the first of them starts.
    """

    plans: tuple[CallPlan, ...]
    sources: tuple[Made, ...]

    @classmethod
    def of(cls, plans: Sequence[CallPlan]) -> Self:
        """A chain of these calls."""
        inside = {plan.call.id for plan in plans}
        read = dict.fromkeys(made for plan in plans for made in plan.sources if made[1] not in inside)
        return cls(tuple(plans), tuple(read))


def sizes_of(specs: Sequence[TensorSpec], shapes: Sequence[Shape | None]) -> list[int]:
    """Bytes of each tensor; 0 where its size is not known before the run."""
    pairs = zip(specs, shapes, strict=True)
    return [0 if shape is None else tensor_bytes(spec.dtype, shape) or 0 for spec, shape in pairs]


def call_plans(manifest: Manifest, *, limited: bool = False) -> tuple[CallPlan, ...]:
    """The manifest's calls with what is needed to run them; ``limited`` where functions run under the plan's limits."""
    limits = {function.name: function.memory_mib for function in manifest.plan.functions if limited}
    positions: dict[str, int] = {}
    counts: dict[str, int] = {}
    entries = {graph.id: graph for graph in manifest.graphs}
    for graph in manifest.graphs:
        positions[graph.id] = counts.get(graph.function, 0)
        counts[graph.function] = positions[graph.id] + 1
    regions = {call.id: _regions(call) for call in manifest.plan.calls}
    plans = []
    for call in manifest.calls:
        firsts = [item.sources[0] for item in call.inputs]
        plans.append(
            CallPlan(
                call=call,
                graph=entries[call.graph],
                index=positions[call.graph],
                sources=tuple((source.tensor, source.producer) for source in firsts),
                taken=tuple(source.region for source in firsts),
                regions=regions[call.id],
                memory_mib=limits.get(call.function),
            )
        )
    return tuple(plans)


def _regions(call: Call) -> tuple[tuple[Made, Region], ...]:
    sources = [source for item in call.inputs for source in item.sources]
    return tuple(((source.tensor, source.producer), source.region) for source in sources if source.region is not None)


def _of(name: str, shape: Shape | None, region: Region | None) -> Shape | None:
    return shape if shape is None or region is None else region_shape(name, shape, region)
