"""PyTorch in: a module or a ``torch.export`` program becomes an ONNX file that answers as it does.

torch is an extra (``pip install "mopar[torch]"``) and is imported only when something is captured.
"""

from mopar.capture._callable import import_callable, load_callable
from mopar.capture._export import capture
from mopar.capture._load import load
from mopar.capture._source import CaptureSource, read_source, source_path

__all__ = ["CaptureSource", "capture", "import_callable", "load", "load_callable", "read_source", "source_path"]
