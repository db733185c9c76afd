"""ResNet-50 as torch serves it, for `mopar bench --torch benchmarks.resnet50_torch:module`.

It imports only torch, as all imports of a function count in its memory.
"""

from pathlib import Path

import torch

WEIGHTS = Path(__file__).parents[1] / ".cache" / "benchmarks" / "resnet50.pt"


def module() -> torch.nn.Module:
    """The module with the weights that ``write_weights`` wrote, mapped from their file."""
    from torchvision.models import resnet50

    with torch.device("meta"):
        made: torch.nn.Module = resnet50(weights=None)
    made.load_state_dict(torch.load(WEIGHTS, mmap=True, weights_only=True), assign=True)
    return made.eval()


def write_weights() -> None:
    """Write the weights of the reference model's ONNX file in torch's own format."""
    from mopar.zoo import find_model
    from mopar.zoo.build import build_module

    WEIGHTS.parent.mkdir(parents=True, exist_ok=True)
    torch.save(build_module(find_model("resnet50")).state_dict(), WEIGHTS)


if __name__ == "__main__":
    write_weights()
