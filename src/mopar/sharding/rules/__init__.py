"""The rules, one file per family of operators; importing this makes them known."""

from mopar.sharding.rules import (
    attention,
    contrib,
    convolution,
    einsum,
    elementwise,
    gather,
    joining,
    matmul,
    normalization,
    recurrent,
    reduction,
    repeat,
    reshape,
    scans,
    slicing,
    softmax,
)

__all__ = [
    "attention",
    "contrib",
    "convolution",
    "einsum",
    "elementwise",
    "gather",
    "joining",
    "matmul",
    "normalization",
    "recurrent",
    "reduction",
    "repeat",
    "reshape",
    "scans",
    "slicing",
    "softmax",
]
