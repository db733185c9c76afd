"""Sharding: how operators split along an axis into parts that run in parallel."""

from mopar.sharding import rules
from mopar.sharding.pieces import SUMMAND, WHOLE, ConflictError, Piece, even_spans
from mopar.sharding.rewrite import shard_model
from mopar.sharding.rule import Part, operators_with_rules
from mopar.sharding.shares import piece_of, share_of

__all__ = [
    "SUMMAND",
    "WHOLE",
    "ConflictError",
    "Part",
    "Piece",
    "even_spans",
    "operators_with_rules",
    "piece_of",
    "rules",
    "shard_model",
    "share_of",
]
