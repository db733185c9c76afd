"""Bytes of the shares of tensors that parts of a slice read and produce."""

from collections.abc import Container

from mopar.types import GraphPart, Share, TensorProfile


def share_bytes(tensor: TensorProfile, share: Share) -> float:
    """Bytes of a share of a tensor, at the sizes for which the tensor's bytes are given."""
    if share.axis is None:
        return float(tensor.bytes)
    return tensor.bytes * (share.stop - share.start) / tensor.shape[share.axis]


def read_bytes(tensor: TensorProfile, share: Share, encoded: Container[str]) -> float:
    """Bytes that a call is charged for a share that it reads: where the tensor is encoded, all of it.

    A code has no regions. Where parts produced the tensor, some of their codes may be enough: all are charged, so that
    what a call is charged does not depend on who produced its inputs.
    """
    return float(tensor.bytes) if tensor.name in encoded else share_bytes(tensor, share)


def made_bytes(tensor: TensorProfile, share: Share, part: GraphPart | None) -> float:
    """Bytes that a call is charged for a share that it produces.

    A reader of summands reads one from every part: each part is charged for ``part.count`` times the tensor's bytes, so
    that what a call is charged does not depend on who produced its inputs.
    """
    return share_bytes(tensor, share) * (part.count if part is not None and share.summand else 1)
