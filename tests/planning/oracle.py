"""Brute force: every set of cuts, every size of every slice, limits checked by their definitions."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product

from mopar.planning import PlanShape, Size, Slice, chain_shape, evaluate, slice_memory_mib, with_headroom
from mopar.planning.model.codings import NO_CODINGS, RAW, Codings
from mopar.types import CpuSize, PlatformLimits, Predicted, PriceBook, Profile


@dataclass(frozen=True)
class Candidate:
    """A plan that keeps all limits except the SLO."""

    cuts: tuple[int, ...]
    predicted: Predicted


def candidates(
    profile: Profile, book: PriceBook, limits: PlatformLimits, codings: Codings = NO_CODINGS
) -> Iterator[Candidate]:
    """Every plan of slices within the limits."""
    count, positions = len(profile.layers), [cut.index for cut in profile.cut_positions]
    most = limits.max_functions or count
    for number in range(min(len(positions), most - 1) + 1):
        for cuts in combinations(positions, number):
            spans = list(zip((0, *cuts), (*cuts, count), strict=True))
            sizes = [sizes_of(profile, book, span, codings) for span in spans]
            for chosen in product(*sizes):
                shape = chain_shape(
                    profile,
                    [Slice(start, stop, size) for (start, stop), size in zip(spans, chosen, strict=True)],
                )
                if keeps(profile, limits, shape, codings):
                    predicted = evaluate(profile, book, limits, shape, codings)
                    if starts_in_time(predicted, limits):
                        yield Candidate(cuts, predicted)


def starts_in_time(predicted: Predicted, limits: PlatformLimits) -> bool:
    most_ms = limits.max_start_ms
    return most_ms is None or all(function.init_ms <= most_ms for function in predicted.functions)


def sizes_of(profile: Profile, book: PriceBook, span: tuple[int, int], codings: Codings = NO_CODINGS) -> list[Size]:
    need = with_headroom(slice_memory_mib(profile, *span, codings))
    everything = range(book.memory_min_mib, book.memory_max_mib + 1, book.memory_step_mib)
    enough = [size for size in everything if size >= need - 1e-6]
    most = 1 if any(layer.two_threads is None for layer in profile.layers) else 2
    if book.mib_per_vcpu is not None:
        # Above the usable CPUs a larger size only costs more.
        useful = math.ceil(book.mib_per_vcpu * most) + book.memory_step_mib
        kept = [size for size in enough if size < useful] or enough[:1]
        bought = [(memory, memory / book.mib_per_vcpu) for memory in kept]
    else:
        bought = []
        for cpus in book.cpu_sizes or (CpuSize(book.cpu_per_function),):
            fit = [m for m in enough if cpus.memory_min_mib <= m <= (cpus.memory_max_mib or math.inf)]
            bought += [(memory, cpus.cpu) for memory in fit[:1]]
    return [
        Size(memory, cpu, threads) for memory, cpu in bought for threads in range(1, min(most, max(int(cpu), 1)) + 1)
    ]


def keeps(profile: Profile, limits: PlatformLimits, shape: PlanShape, codings: Codings = NO_CODINGS) -> bool:
    sizes = {tensor.name: tensor.bytes * codings.get(tensor.name, RAW).bound_ratio for tensor in profile.tensors}
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
