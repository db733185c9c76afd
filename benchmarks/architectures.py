"""Architectures that the resource model is tested on beside the zoo: random weights, nothing downloaded.

Each is exported by ``python -m benchmarks.architectures NAME -o FILE.onnx`` in a process of its own.
"""

import argparse
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mopar.capture import capture

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "models" / "architectures"
Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Architecture:
    """A model and how it is asked.

    Attributes:
        name: as the benchmark prints it.
        make: the torch module.
        shapes: of its inputs.
        integers: inputs of integers, drawn from 0 to this, exclusive.
    """

    name: str
    make: Callable[[], "torch.nn.Module"]
    shapes: Mapping[str, tuple[int, ...]]
    integers: Mapping[str, int] = field(default_factory=dict)


def _vision(name: str, side: int = 224) -> Architecture:
    def make() -> "torch.nn.Module":
        import torchvision.models

        extra = {"init_weights": False, "aux_logits": False} if name == "googlenet" else {}
        module: torch.nn.Module = getattr(torchvision.models, name)(weights=None, **extra)
        return _awake(module)

    return Architecture(name, make, {"x": (1, 3, side, side)})


def _awake(module: "torch.nn.Module") -> "torch.nn.Module":
    """Give layer scales and zero-initialised parameters values that no fold can take away."""
    import torch

    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.numel() > 1 and float(parameter.abs().max()) < 1e-4:
                parameter.normal_(0.0, 0.05)
    return module


def _text(name: str, kind: str, tokens: int, output: str = "last_hidden_state", **config: Any) -> Architecture:
    def make() -> "torch.nn.Module":
        import torch
        import transformers

        settings = getattr(transformers, f"{kind}Config")(**config)
        settings._attn_implementation = "eager"  # noqa: SLF001 - transformers has no other name for it
        model = getattr(transformers, f"{kind}EncoderModel" if kind == "T5" else f"{kind}Model")(settings)

        class Tokens(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.model = model

            def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
                options = {} if kind in _ENCODERS else {"use_cache": False}
                answer: torch.Tensor = getattr(self.model(input_ids=input_ids, **options), output)
                return answer

        return Tokens()

    return Architecture(name, make, {"input_ids": (1, tokens)}, {"input_ids": 1000})


_ENCODERS = {"Albert", "Bert", "DistilBert", "Electra", "MobileBert", "Roberta", "T5", "MPNet", "Funnel", "DebertaV2"}


def _listed() -> dict[str, Architecture]:
    bert: dict[str, Any] = {"vocab_size": 30522}
    found = [
        *(
            _vision(name)
            for name in (
                "resnet18", "resnet34", "resnet101", "wide_resnet50_2", "resnext50_32x4d", "mobilenet_v2",
                "mobilenet_v3_large", "mobilenet_v3_small", "mnasnet1_0", "densenet121", "squeezenet1_1",
                "shufflenet_v2_x1_0", "regnet_y_400mf", "regnet_x_1_6gf", "googlenet", "alexnet", "vgg11",
                "convnext_tiny", "efficientnet_b1", "efficientnet_v2_s", "swin_t", "vit_b_32",
            )
        ),
        _text("distilbert", "DistilBert", 128, **bert),
        _text("roberta-base", "Roberta", 96, vocab_size=50265, max_position_embeddings=514, pad_token_id=1),
        _text("albert-base", "Albert", 128, vocab_size=30000, embedding_size=128, hidden_size=768,
              num_attention_heads=12, intermediate_size=3072),
        _text("electra-small", "Electra", 128, embedding_size=128, hidden_size=256, num_attention_heads=4,
              intermediate_size=1024, **bert),
        _text("bert-small", "Bert", 64, hidden_size=512, num_hidden_layers=4, num_attention_heads=8,
              intermediate_size=2048, **bert),
        _text("bert-tiny", "Bert", 128, hidden_size=128, num_hidden_layers=2, num_attention_heads=2,
              intermediate_size=512, **bert),
        _text("gpt-neo-125m", "GPTNeo", 48, hidden_size=768, num_layers=12, num_heads=12,
              attention_types=[[["global", "local"], 6]]),
        _text("opt-125m", "OPT", 48),
        _text("t5-small-encoder", "T5", 64, d_model=512, d_ff=2048, num_layers=6, num_heads=8),
        _text("mobilebert", "MobileBert", 64, **bert),
    ]  # fmt: skip
    return {item.name: item for item in found}


ARCHITECTURES = _listed()


def sample_inputs(name: str, seed: int = 0) -> Arrays:
    """Inputs of an architecture."""
    item, random = ARCHITECTURES[name], np.random.default_rng(seed)
    return {
        key: random.integers(0, item.integers[key], shape)
        if key in item.integers
        else random.standard_normal(shape).astype(np.float32)
        for key, shape in item.shapes.items()
    }


def materialise(name: str) -> Path:
    """The ONNX file of an architecture, made where it is not there yet.

    Raises:
        RuntimeError: it cannot be exported.
    """
    digest = hashlib.sha256(Path(__file__).read_bytes() + version("torch").encode()).hexdigest()[:8]
    path = CACHE / digest / name / f"{name}.onnx"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.architectures", name, "-o", str(path)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} could not be made: {done.stderr.strip().splitlines()[-1:]}")
    return path


def export(name: str, path: Path) -> None:
    """Write an architecture's ONNX file."""
    import torch

    torch.manual_seed(0)
    example = {key: torch.from_numpy(value) for key, value in sample_inputs(name).items()}
    capture(ARCHITECTURES[name].make().eval(), example, path, check=False)


def main() -> None:
    """Export the architecture that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.architectures", description=__doc__)
    parser.add_argument("name", choices=ARCHITECTURES)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    export(options.name, options.output)


if __name__ == "__main__":
    main()
