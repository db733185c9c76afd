"""Export of an architecture to ONNX, in a separate process, once for each version of its recipe."""

import ast
import functools
import hashlib
import multiprocessing
import os
from importlib.metadata import version
from multiprocessing.context import ForkServerContext
from pathlib import Path

from benchmarks.architectures.model import Architecture, Arrays
from mopar.capture import capture

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "models" / "architectures"
_LIMIT_S = 900.0
_BATCH, _BATCHES = 4, 2
_FIRST_SEED = 1_000
"""Seed of the requests that weights are prepared with; far from those of test requests."""


def onnx_path(item: Architecture) -> Path:
    """Return where the file is cached: the folder's name is a digest of all that the file depends on."""
    maker = item.maker.function.partition(":")[0]
    files = [Path(__file__).with_name(f"{file}.py") for file in (maker, "preparing")]
    code = [ast.unparse(ast.parse(file.read_text())) for file in files]  # without comments
    versions = [version(name) for name in ("torch", "torchvision", "timm", "transformers")]
    recipe = repr((item.maker, item.inputs, item.sizes, code, versions))
    return CACHE / f"{item.name}-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}" / f"{item.name}.onnx"


def materialise(item: Architecture, *, limit_s: float = _LIMIT_S) -> Path:
    """Return the ONNX file of an architecture; export it if it is not cached.

    Raises:
        RuntimeError: it cannot be exported  (the last line of the process's output), or not within ``limit_s``.
    """
    path = onnx_path(item)
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    log = path.with_suffix(".log")
    log.touch()
    process = _processes().Process(target=_export_alone, args=(item, path, log), daemon=True)
    process.start()
    process.join(limit_s)
    if process.is_alive():
        process.kill()
        process.join()
        raise RuntimeError(f"not exported within {limit_s:g} s")
    if not path.exists():
        lines = [line for line in log.read_text(errors="replace").splitlines() if line and not line.startswith(" ")]
        raise RuntimeError(lines[-1] if lines else f"the exporting process ended with status {process.exitcode}")
    return path


@functools.cache
def _processes() -> ForkServerContext:
    """Forks a process for each export from one that has imported the libraries, which takes longer than an export.

    An export leaves state behind in torch that changes the next one, so none runs in the parent process.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"  # no library may download anything
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["benchmarks.architectures.preload"])
    return found


def _export_alone(item: Architecture, path: Path, log: Path) -> None:
    """Run an export in the current process, with all output redirected to ``log``."""
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    export(item, path)


def export(item: Architecture, path: Path) -> None:
    """Write an architecture's ONNX file with prepared random weights, and compare its outputs with the module's.

    Raises:
        ModelError: it cannot be captured, or its outputs differ.
    """
    import torch

    from benchmarks.architectures.preparing import prepared

    torch.set_num_threads(1)  # The models are small: several threads would only block each other.
    torch.manual_seed(0)
    module = prepared(item.maker.make(), [_requests(item, number) for number in range(_BATCHES)])
    example = tuple(torch.from_numpy(value) for value in item.request().values())
    symbols = tuple({axis: dim for axis, dim in enumerate(one.shape) if isinstance(dim, str)} for one in item.inputs)
    names = [one.name for one in item.inputs]
    capture(module, example, path, input_names=names, dynamic_shapes=symbols if any(symbols) else None)


def _requests(item: Architecture, number: int) -> list[Arrays]:
    first = _FIRST_SEED + number * _BATCH
    return [item.request(seed) for seed in range(first, first + _BATCH)]
