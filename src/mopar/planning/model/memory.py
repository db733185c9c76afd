"""Memory of layers: weights, tensors, and the required memory that follows."""

from collections.abc import Iterable

from mopar.planning.model.boundary import last_use, slice_inputs, slice_outputs
from mopar.planning.numbers import MIB, Num
from mopar.types import Profile


def required_mib(base_mib: float, held_bytes: Num, overhead_mib: Num) -> Num:
    """Required memory of a function; at least the base.

    Args:
        base_mib: of a worker whose graph does nothing.
        held_bytes: weights and tensors of the function.
        overhead_mib: memory of its process beyond these and the base (see ``RuntimeOverhead``).
    """
    above_mib = held_bytes / MIB + overhead_mib
    return above_mib * (above_mib > 0) + base_mib


def weight_bytes(profile: Profile, runs: Iterable[tuple[int, int]]) -> int:
    """Resident bytes of the weights that runs of layers read, each once; ``runs`` are start and stop (exclusive)."""
    names = {name for start, stop in runs for layer in profile.layers[start:stop] for name in layer.weights}
    return sum(weight.resident_bytes for weight in profile.weights if weight.name in names)


def first_read_bytes(profile: Profile) -> list[float]:
    """Resident bytes of each layer's weights, a shared weight where it is read first."""
    sizes = {weight.name: float(weight.resident_bytes) for weight in profile.weights}
    return [sum(sizes.pop(name, 0.0) for name in set(layer.weights)) for layer in profile.layers]


def active_bytes(profile: Profile, start: int, stop: int) -> int:
    """The most bytes of tensors that layers ``start`` to ``stop`` hold while one of them runs.

    Boundary tensors count in full throughout: inputs stay until the response is sent, outputs are bound before the run.
    Tensors that only pass over the slice are not included.
    """
    inputs = [(last_use(tensor), tensor.bytes) for tensor in slice_inputs(profile.tensors, start, stop)]
    outputs = [(tensor.producer, tensor.bytes) for tensor in slice_outputs(profile.tensors, start, stop)]
    entering = {tensor.name for tensor in slice_inputs(profile.tensors, start, stop)}
    passing = sum(
        tensor.bytes
        for tensor in profile.tensors
        if tensor.producer < start and last_use(tensor) >= stop and tensor.name not in entering
    )
    most = 0
    for layer in profile.layers[start:stop]:
        held = layer.activation_bytes + layer.workspace_bytes
        held += sum(size for last, size in inputs if last < layer.index)
        held += sum(size for producer, size in outputs if producer > layer.index)
        most = max(most, held)
    return max(most - passing, 0)
