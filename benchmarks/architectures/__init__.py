"""Architectures with random weights, nothing downloaded: small ones to try all plans on, and full-size ones.

The full-size ones are those that the resource model is tested on, besides the zoo.
"""

from benchmarks.architectures.export import export, materialise, onnx_path
from benchmarks.architectures.listed import full, suite
from benchmarks.architectures.model import Architecture, Arrays, Input, Sizes

FULL = {item.name: item for item in full()}
SUITE = {item.name: item for item in suite()}

__all__ = ["FULL", "SUITE", "Architecture", "Arrays", "Input", "Sizes", "export", "materialise", "onnx_path"]
