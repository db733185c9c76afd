"""Conversion between pieces of tensors and the shares of plans and profiles."""

from mopar.sharding.pieces import SUMMAND, WHOLE, Piece
from mopar.types import Share


def share_of(tensor: str, piece: Piece) -> Share:
    """A piece as a share, which has one span: gaps are filled."""
    if piece.axis is None:
        return Share(tensor, summand=piece.summand)
    start, stop = piece.hull().spans[0]
    return Share(tensor, piece.axis, start, stop)


def piece_of(share: Share) -> Piece:
    """The piece of a share. Raises ValueError where the share is invalid."""
    if share.axis is None:
        return SUMMAND if share.summand else WHOLE
    if share.summand or share.axis < 0 or not 0 <= share.start < share.stop:
        raise ValueError(f"{share.tensor}: there is no share from {share.start} to {share.stop}")
    return Piece(share.axis, ((share.start, share.stop),))
