"""Bytes of the shares of tensors that parts of a slice take and make."""

from mopar.types import GraphPart, Share, TensorProfile


def share_bytes(tensor: TensorProfile, share: Share) -> float:
    """Bytes of a share of a tensor, at the size that the tensor is given at."""
    if share.axis is None:
        return float(tensor.bytes)
    return tensor.bytes * (share.stop - share.start) / tensor.shape[share.axis]


def made_bytes(tensor: TensorProfile, share: Share, part: GraphPart | None) -> float:
    """Bytes that a call is charged for a share that it makes.

    Who reads summands takes in one of every part: each part is charged for a tensor's worth of that, so that a call
    moves the same whoever made what it reads.
    """
    return share_bytes(tensor, share) * (part.count if part is not None and share.summand else 1)
