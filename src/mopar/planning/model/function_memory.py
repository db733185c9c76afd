"""Required memory and weights of functions, each of one or several graphs: runs of layers, whole or in parts."""

from collections.abc import Sequence

from mopar.planning.model.at_size import at_largest
from mopar.planning.model.codings import (
    NO_CODINGS,
    Codings,
    crossing_tensors,
    library_mib,
    part_code_bytes,
    part_library_mib,
    slice_code_bytes,
)
from mopar.planning.model.memory import active_bytes, required_mib, weight_bytes
from mopar.planning.model.overhead import RuntimeOverhead
from mopar.types import Graph, GraphPart, PartProfile, Profile

Place = tuple[int, int, GraphPart]
"""Start and stop of a step, and the part."""


def parts_of(profile: Profile) -> dict[Place, PartProfile]:
    """Every part of a profile's steps."""
    return {(step.start, step.stop, part.part): part for step in profile.shards for part in step.parts}


def slice_memory_mib(profile: Profile, start: int, stop: int, codings: Codings = NO_CODINGS) -> float:
    """Predicted required memory, before headroom, of a function that holds layers ``start`` to ``stop`` alone."""
    return FunctionMemory(profile, codings=codings).memory_mib([Graph("", start, stop, (), ())])


class FunctionMemory:
    """Memory of one profile's functions: a weight counts once, however many of a function's whole runs read it.

    Args:
        profile: gives the overhead beyond weights and tensors.
        sized: the same with the bytes of other sizes; by default those of the largest sizes of the range.
        codings: of tensors that are sent encoded, whose codes are held beside them.
    """

    def __init__(self, profile: Profile, sized: Profile | None = None, codings: Codings = NO_CODINGS) -> None:
        self._codings = codings
        self._profile = at_largest(profile) if sized is None else sized
        self._parts = parts_of(self._profile)
        self._tensors = {tensor.name: tensor for tensor in self._profile.tensors}
        self._overhead = RuntimeOverhead(profile)

    def memory_mib(self, graphs: Sequence[Graph]) -> float:
        """Predicted required memory of a function, before headroom; one of its graphs is active at a time."""
        whole, shared = self.divided(graphs)
        parts = [part for _, part in shared]
        runs = [(graph.start, graph.stop) for graph in whole]
        resident = weight_bytes(self._profile, runs) + sum(part.resident_bytes for part in parts)
        active = [self._active_bytes(graph.start, graph.stop) for graph in whole]
        active += [part.activation_bytes + part_code_bytes(self._codings, self._tensors, part.part) for part in parts]
        overhead_mib = max((self._overhead.of(graph.start, graph.stop) for graph in graphs), default=0.0)
        libraries_mib = [self._library_mib(graph.start, graph.stop) for graph in whole]
        libraries_mib += [part_library_mib(self._codings, part.part) for part in parts]
        overhead_mib += max(libraries_mib, default=0.0)
        return required_mib(self._profile.runtime.base_mib, float(resident + max(active, default=0)), overhead_mib)

    def _active_bytes(self, start: int, stop: int) -> float:
        codes = slice_code_bytes(self._codings, self._profile.tensors, start, stop)
        return active_bytes(self._profile, start, stop) + codes

    def _library_mib(self, start: int, stop: int) -> float:
        return library_mib(self._codings, crossing_tensors(self._codings, self._profile.tensors, start, stop))

    def divided(self, graphs: Sequence[Graph]) -> tuple[list[Graph], list[tuple[Graph, PartProfile]]]:
        """Graphs of whole runs, and those of parts, each with its part's figures."""
        whole = [graph for graph in graphs if graph.part is None]
        parts = ((graph, graph.part) for graph in graphs if graph.part is not None)
        return whole, [(graph, self._parts[graph.start, graph.stop, part]) for graph, part in parts]
