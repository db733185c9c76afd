"""Converts a PyTorch module or ``torch.export`` program to an ONNX file and checks that both give equal outputs.

torch is an extra (``pip install "mopar[torch]"``) and is imported only when something is captured.
"""

from mopar.capture._callable import import_callable, load_callable
from mopar.capture._export import capture
from mopar.capture._inputs import ImportInputs, import_inputs
from mopar.capture._load import load
from mopar.capture._source import CaptureSource, read_source, source_path
from mopar.capture._stated import stated_shapes

__all__ = [
    "CaptureSource",
    "ImportInputs",
    "capture",
    "import_callable",
    "import_inputs",
    "load",
    "load_callable",
    "read_source",
    "source_path",
    "stated_shapes",
]
