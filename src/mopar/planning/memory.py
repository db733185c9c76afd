"""Required memory of a slice, predicted from the profile; headroom, and sizes that can be bought."""

from collections.abc import Iterable

from mopar.planning.arithmetic import Num, round_up
from mopar.planning.boundary import last_use, slice_inputs, slice_outputs
from mopar.types import PriceBook, Profile

HEADROOM_SHARE = 0.05
HEADROOM_MIN_MIB = 4.0

Span = tuple[int, int]
"""A run of layers: start, stop (exclusive)."""


def slice_memory_mib(profile: Profile, start: int, stop: int) -> float:
    """Predicted required memory, before headroom, of a function that holds layers ``start`` to ``stop``."""
    return function_memory_mib(profile, [(start, stop)])


def function_memory_mib(profile: Profile, spans: Iterable[Span]) -> float:
    """As ``slice_memory_mib``, for a function of several graphs: weights once, one graph active at a time."""
    spans = list(spans)
    names = {name for start, stop in spans for layer in profile.layers[start:stop] for name in layer.weights}
    resident = sum(weight.resident_bytes for weight in profile.weights if weight.name in names)
    active = max((active_bytes(profile, start, stop) for start, stop in spans), default=0)
    return required_mib(profile, float(resident + active), whole_bytes(profile))


def required_mib(profile: Profile, held_bytes: Num, whole_held_bytes: float) -> Num:
    """Required memory of a function that holds ``held_bytes`` of weights and tensors.

    This is the one place where counted bytes become predicted memory. What a process needs beyond them
    (the engine's arena, alignment, copies while loading) grows with them, so the part above the runtime's base is
    scaled by the one factor that makes the whole model's prediction its measurement. A model whose whole
    was measured at or below the base predicts the base.

    Args:
        profile: its ``runtime.base_mib`` and ``whole.memory_mib``.
        held_bytes: weights and tensors of the function.
        whole_held_bytes: the same of the whole model (``whole_bytes``).
    """
    base_mib = profile.runtime.base_mib
    above_mib = max(profile.whole.memory_mib - base_mib, 0.0)
    return held_bytes * (above_mib / whole_held_bytes if whole_held_bytes > 0 else 0.0) + base_mib


def whole_bytes(profile: Profile) -> float:
    """Weights and tensors that the whole model holds as one function."""
    resident = sum(weight.resident_bytes for weight in profile.weights)
    return float(resident + active_bytes(profile, 0, len(profile.layers)))


def active_bytes(profile: Profile, start: int, stop: int) -> int:
    """The most bytes of tensors that layers ``start`` to ``stop`` hold while one of them runs.

    Boundary tensors count in full throughout: inputs stay until the answer is sent, outputs are bound
    before the run. Tensors that only pass over the slice are not in it.
    """
    inputs = [(last_use(tensor), tensor.bytes) for tensor in slice_inputs(profile, start, stop)]
    outputs = [(tensor.producer, tensor.bytes) for tensor in slice_outputs(profile, start, stop)]
    entering = {tensor.name for tensor in slice_inputs(profile, start, stop)}
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


def with_headroom(memory_mib: Num, share: float = HEADROOM_SHARE, minimum_mib: float = HEADROOM_MIN_MIB) -> Num:
    """``memory_mib`` plus ``share`` of it, at least ``minimum_mib`` more."""
    relative, absolute = memory_mib * (1 + share), memory_mib + minimum_mib
    # max(), for arrays too: where(a, b) is b + (a - b if a > b else 0).
    return absolute + (relative - absolute) * (relative > absolute)


def bought_mib(book: PriceBook, memory_mib: Num) -> Num:
    """The smallest size that can be bought with at least ``memory_mib``, were there no maximum."""
    above = memory_mib - book.memory_min_mib
    return round_up(above * (above > 0), float(book.memory_step_mib)) + book.memory_min_mib
