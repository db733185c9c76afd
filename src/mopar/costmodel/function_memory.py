"""What a slice's function will hold in memory, counted from the model without running it."""

from collections.abc import Sequence
from dataclasses import replace

from mopar.costmodel.describe import Described
from mopar.costmodel.samples import MemoryFacts
from mopar.graph import Layer, Model, boundary
from mopar.profiling.entries import operations_of
from mopar.profiling.liveness import live_bytes
from mopar.types import TensorSpec

_MIB = 1 << 20


def memory_facts(model: Model, layers: Sequence[Layer], described: Described, start: int, stop: int) -> MemoryFacts:
    """Of layers ``start`` to ``stop`` (exclusive) as a function of their own.

    Raises:
        ModelError: something that crosses is no tensor of a known element type.
    """
    works = [work for work in described.works if start <= work.layer < stop]
    within = {work.index for work in works}
    weights = [weight for weight in described.stored if within.intersection(weight.readers)]
    tables = [weight for weight in weights if weight.operators == {"Gather"}]
    crossing = boundary(model, layers, start, stop)
    points = described.inferred.points
    boundary_bytes = sum(points[spec.name].bytes for specs in crossing for spec in specs)
    return MemoryFacts(
        resident_mib=sum(weight.resident_bytes for weight in weights) / _MIB,
        table_mib=sum(weight.resident_bytes for weight in tables) / _MIB,
        unread_mib=sum(weight.file_bytes - weight.resident_bytes for weight in weights) / _MIB,
        active_mib=(_inner_bytes(model, layers, described, (start, stop), crossing) + boundary_bytes) / _MIB,
        boundary_mib=boundary_bytes / _MIB,
        scratch_mib=max((work.work.scratch_bytes for work in works), default=0.0) / _MIB,
        kernels=len(works),
        families=tuple(sorted({work.work.family for work in works})),
    )


def _inner_bytes(
    model: Model,
    layers: Sequence[Layer],
    described: Described,
    run: tuple[int, int],
    crossing: tuple[Sequence[TensorSpec], Sequence[TensorSpec]],
) -> int:
    """The most that tensors inside the slice take at a time; ``crossing`` are its inputs and outputs.

    Boundary tensors are left out: they stand in shared memory from the first request on. Those that the engine holds in
    blocks count nevertheless: blocks are a copy of what enters or leaves.
    """
    (start, stop), (inputs, outputs) = run, crossing
    blocked = described.blocked
    copied = {spec.name for spec in inputs if spec.name in blocked and blocked[spec.name].enters}
    copied |= {spec.name for spec in outputs if spec.name in blocked and blocked[spec.name].leaves}
    outer = {spec.name for spec in (*inputs, *outputs)} - copied
    nodes = (node for layer in layers[start:stop] for node in operations_of(model, layer))
    operations = [replace(node, layer=node.layer - start) for node in nodes]
    points = described.inferred.points
    names = {name for operation in operations for name in operation.names} | outer | copied
    sizes = {name: 0 if name in outer or name not in points else points[name].bytes for name in names}
    live = live_bytes(operations, sizes, [spec.name for spec in inputs], [spec.name for spec in outputs], stop - start)
    return max(live, default=0)
