"""Which tensors enter and leave a slice."""

from collections.abc import Sequence

from mopar.types import TensorProfile


def last_use(tensor: TensorProfile) -> int:
    """Index of the last layer that reads a tensor (the number of layers: the response); -1 for none."""
    return max(tensor.consumers, default=-1)


def slice_inputs(tensors: Sequence[TensorProfile], start: int, stop: int) -> tuple[TensorProfile, ...]:
    """Tensors made before layer ``start`` (or by the request) that layers ``start`` to ``stop`` read."""
    return tuple(
        tensor
        for tensor in tensors
        if tensor.producer < start and any(start <= reader < stop for reader in tensor.consumers)
    )


def slice_outputs(tensors: Sequence[TensorProfile], start: int, stop: int) -> tuple[TensorProfile, ...]:
    """Tensors made by layers ``start`` to ``stop`` that later layers or the response read."""
    return tuple(tensor for tensor in tensors if start <= tensor.producer < stop and last_use(tensor) >= stop)
