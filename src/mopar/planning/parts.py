"""What functions that hold several graphs take: runs of layers, whole or in parts."""

from collections.abc import Sequence

from mopar.planning.at_size import at_largest
from mopar.planning.memory import Extra, active_bytes, required_mib
from mopar.types import Graph, GraphPart, PartProfile, Profile, Share, TensorProfile

Place = tuple[int, int, GraphPart]
"""Start and stop of a step, and the part."""


def parts_of(profile: Profile) -> dict[Place, PartProfile]:
    """Every part of a profile's steps."""
    return {(step.start, step.stop, part.part): part for step in profile.shards for part in step.parts}


def share_bytes(tensor: TensorProfile, share: Share) -> float:
    """Bytes of a share of a tensor, at the measured point."""
    if share.axis is None:
        return float(tensor.bytes)
    return tensor.bytes * (share.stop - share.start) / tensor.shape[share.axis]


def moved_bytes(tensor: TensorProfile, share: Share, part: GraphPart | None) -> float:
    """Bytes that a call moves for a share that it makes.

    Who reads summands takes in one of every part: each part is charged for a tensor's worth of that, so that a call
    moves the same whoever made what it reads.
    """
    return share_bytes(tensor, share) * (part.count if part is not None and share.summand else 1)


class Holding:
    """What functions of one profile hold: a weight once, however many of a function's whole runs read it.

    Args:
        profile: what functions need beyond weights and tensors is read off it.
        sized: the same with the bytes of other sizes; by default those of the largest that are answered.
    """

    def __init__(self, profile: Profile, sized: Profile | None = None) -> None:
        self._profile = at_largest(profile) if sized is None else sized
        self._parts = parts_of(self._profile)
        self._extra = Extra(profile)

    def memory_mib(self, graphs: Sequence[Graph]) -> float:
        """Predicted required memory of a function, before headroom; one of its graphs is active at a time."""
        whole, parts = self._divided(graphs)
        resident = self._weight_bytes(whole, "resident_bytes") + sum(part.resident_bytes for part in parts)
        active = [active_bytes(self._profile, graph.start, graph.stop) for graph in whole]
        active += [part.activation_bytes for part in parts]
        extra_mib = max((self._extra.of(graph.start, graph.stop) for graph in graphs), default=0.0)
        return required_mib(self._profile, float(resident + max(active, default=0)), extra_mib)

    def file_bytes(self, graphs: Sequence[Graph]) -> int:
        """Of the weights in a function's built files."""
        whole, parts = self._divided(graphs)
        return self._weight_bytes(whole, "file_bytes") + sum(part.file_bytes for part in parts)

    def _divided(self, graphs: Sequence[Graph]) -> tuple[list[Graph], list[PartProfile]]:
        whole = [graph for graph in graphs if graph.part is None]
        return whole, [self._parts[graph.start, graph.stop, graph.part] for graph in graphs if graph.part is not None]

    def _weight_bytes(self, graphs: Sequence[Graph], what: str) -> int:
        names = {
            name
            for graph in graphs
            for layer in self._profile.layers[graph.start : graph.stop]
            for name in layer.weights
        }
        return sum(int(getattr(weight, what)) for weight in self._profile.weights if weight.name in names)
