"""From an architecture to its ONNX file, in a process of its own, once for each version of its recipe."""

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
"""Of the requests that weights are prepared with: far from those that anybody asks for."""


def onnx_path(item: Architecture) -> Path:
    """Where the file is kept: its folder is named for all that it depends on."""
    maker = item.maker.function.partition(":")[0]
    files = [Path(__file__).with_name(f"{file}.py") for file in (maker, "preparing")]
    code = [ast.unparse(ast.parse(file.read_text())) for file in files]  # no comments: they make no other model
    versions = [version(name) for name in ("torch", "torchvision", "timm", "transformers")]
    recipe = repr((item.maker, item.inputs, item.sizes, code, versions))
    return CACHE / f"{item.name}-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}" / f"{item.name}.onnx"


def materialise(item: Architecture, *, limit_s: float = _LIMIT_S) -> Path:
    """The ONNX file of an architecture, made where it is not there yet.

    Raises:
        RuntimeError: it cannot be exported (the last line that the process said), or not within ``limit_s``.
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
    """Makes a process for each export by a fork of one that imported the libraries, which takes longer than an export.

    What one export leaves behind in torch changes the next one: none happens in the process that is forked.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"  # whatever a library thinks of it, nothing is downloaded
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["benchmarks.architectures.preload"])
    return found


def _export_alone(item: Architecture, path: Path, log: Path) -> None:
    """What the process of an export does: all that it says goes to ``log``."""
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    export(item, path)


def export(item: Architecture, path: Path) -> None:
    """Write an architecture's ONNX file, its random weights prepared, and hold its answers against the module's.

    Raises:
        ModelError: it cannot be captured, or answers differently.
    """
    import torch

    from benchmarks.architectures.preparing import prepared

    torch.set_num_threads(1)  # several threads would only wait for each other: the models are small
    torch.manual_seed(0)
    module = prepared(item.maker.make(), [_requests(item, number) for number in range(_BATCHES)])
    example = tuple(torch.from_numpy(value) for value in item.request().values())
    symbols = tuple({axis: dim for axis, dim in enumerate(one.shape) if isinstance(dim, str)} for one in item.inputs)
    names = [one.name for one in item.inputs]
    capture(module, example, path, input_names=names, dynamic_shapes=symbols if any(symbols) else None)


def _requests(item: Architecture, number: int) -> list[Arrays]:
    first = _FIRST_SEED + number * _BATCH
    return [item.request(seed) for seed in range(first, first + _BATCH)]
