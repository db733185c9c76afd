"""Brute force: every set of cuts, every size of every slice, limits checked by their definitions."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product

from mopar.planning import PlanShape, Slice, chain_shape, evaluate, slice_memory_mib, with_headroom
from mopar.types import PlatformLimits, Predicted, PriceBook, Profile


@dataclass(frozen=True)
class Candidate:
    """A plan that keeps all limits but the SLO."""

    cuts: tuple[int, ...]
    predicted: Predicted


def candidates(profile: Profile, book: PriceBook, limits: PlatformLimits) -> Iterator[Candidate]:
    """Every plan of slices within the limits."""
    count, positions = len(profile.layers), [cut.index for cut in profile.cut_positions]
    most = limits.max_functions or count
    for number in range(min(len(positions), most - 1) + 1):
        for cuts in combinations(positions, number):
            spans = list(zip((0, *cuts), (*cuts, count), strict=True))
            sizes = [_sizes(profile, book, span) for span in spans]
            for chosen in product(*sizes):
                shape = chain_shape(
                    profile,
                    [
                        Slice(start, stop, memory, memory / book.mib_per_vcpu if book.mib_per_vcpu else 1.0)
                        for (start, stop), memory in zip(spans, chosen, strict=True)
                    ],
                )
                if _keeps(profile, limits, shape):
                    yield Candidate(cuts, evaluate(profile, book, limits, shape))


def _sizes(profile: Profile, book: PriceBook, span: tuple[int, int]) -> list[int]:
    need = with_headroom(slice_memory_mib(profile, *span))
    everything = range(book.memory_min_mib, book.memory_max_mib + 1, book.memory_step_mib)
    enough = [size for size in everything if size >= need - 1e-6]
    if book.mib_per_vcpu is None:
        return enough[:1]
    # Above a whole CPU a larger size is only dearer.
    whole = math.ceil(book.mib_per_vcpu)
    return [size for size in enough if size < whole + book.memory_step_mib] or enough[:1]


def _keeps(profile: Profile, limits: PlatformLimits, shape: PlanShape) -> bool:
    sizes = {tensor.name: tensor.bytes for tensor in profile.tensors}
    for graph in shape.graphs:
        for side in (graph.inputs, graph.outputs):
            body = sum(sizes[name] for name in side) * limits.payload_factor
            if limits.payload_bytes is not None and body > limits.payload_bytes:
                return False
        names = {name for layer in profile.layers[graph.start : graph.stop] for name in layer.weights}
        package = sum(weight.file_bytes for weight in profile.weights if weight.name in names)
        if limits.package_bytes is not None and package + limits.package_base_bytes > limits.package_bytes:
            return False
    return True
