"""The rules, one file per family of operators; importing this makes them known."""

from mopar.sharding.rules import convolution, elementwise, matmul

__all__ = ["convolution", "elementwise", "matmul"]
