"""From an architecture to its ONNX file, in a process of its own, once for each version of its recipe."""

import hashlib
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.architectures.model import Architecture, Arrays
from mopar.capture import capture

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "models" / "architectures"
_LIMIT_S = 900.0
_BATCH, _BATCHES = 4, 2
_FIRST_SEED = 1_000
"""Of the requests that weights are prepared with: far from those that anybody asks for."""


def onnx_path(item: Architecture) -> Path:
    """Where the file is kept: its folder is named for all that it depends on."""
    maker = item.maker.function.partition(":")[0]
    code = [Path(__file__).with_name(f"{file}.py").read_text() for file in (maker, "preparing", "export")]
    versions = [version(name) for name in ("torch", "torchvision", "timm", "transformers")]
    recipe = repr((item.maker, item.inputs, item.sizes, code, versions))
    return CACHE / f"{item.name}-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}" / f"{item.name}.onnx"


def materialise(item: Architecture, *, limit_s: float = _LIMIT_S) -> Path:
    """The ONNX file of an architecture, made where it is not there yet.

    Raises:
        RuntimeError: it cannot be exported, or not within ``limit_s``.
    """
    path = onnx_path(item)
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.architectures", item.name, "-o", str(path)]
    command += ["--full"] if item.full else []
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired as cause:
        raise RuntimeError(f"{item.name} could not be exported within {limit_s:g} s") from cause
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise RuntimeError(f"{item.name} could not be exported: {last}")
    return path


def export(item: Architecture, path: Path) -> None:
    """Write an architecture's ONNX file, its random weights prepared, and hold its answers against the module's.

    Raises:
        ModelError: it cannot be captured, or answers differently.
    """
    import torch

    from benchmarks.architectures.preparing import prepared

    torch.manual_seed(0)
    module = prepared(item.maker.make(), [_requests(item, number) for number in range(_BATCHES)])
    example = tuple(torch.from_numpy(value) for value in item.request().values())
    symbols = tuple({axis: dim for axis, dim in enumerate(one.shape) if isinstance(dim, str)} for one in item.inputs)
    names = [one.name for one in item.inputs]
    capture(module, example, path, input_names=names, dynamic_shapes=symbols if any(symbols) else None)


def _requests(item: Architecture, number: int) -> list[Arrays]:
    first = _FIRST_SEED + number * _BATCH
    return [item.request(seed) for seed in range(first, first + _BATCH)]
