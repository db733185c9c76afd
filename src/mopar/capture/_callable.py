"""``mopar import MODULE:CALLABLE``: user code makes a module, which is written as an ONNX file and a side file."""

import contextlib
import importlib
import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mopar import __version__
from mopar.capture._export import capture
from mopar.capture._inputs import import_inputs
from mopar.capture._source import CaptureSource, source_path
from mopar.capture._torch import TranslatedErrors, require_torch
from mopar.files import to_json, write_whole
from mopar.shapes import InputArg
from mopar.types import UsageError

if TYPE_CHECKING:
    import torch

    Capturable = torch.nn.Module | torch.export.ExportedProgram


def import_callable(spec: str, inputs: Sequence[str], output: Path, *, seed: int = 0) -> Path:
    """Capture the module that ``MODULE:CALLABLE`` returns or names.

    Args:
        spec: a Python module (installed or in the working directory) and in it a ``torch.nn.Module``, a
            ``torch.export`` program, or a callable without arguments that returns one of them.
        inputs: one ``NAME=SHAPE:DTYPE`` for each parameter of ``forward``; ``batch@2`` is a symbolic dimension and its
            size, ``1..512`` a range of sizes that the file must accept. A ``torch.export`` program has its own
            example inputs and needs none.
        output: the ONNX file; ``OUTPUT.source.json`` beside it records its origin.
        seed: seed of the callable's random weights and of the example's values.

    Returns:
        ``output``.

    Raises:
        UsageError: torch, the module or the callable is missing, it returns no module, or an input is malformed.
        ModelError: the module cannot be captured, or its ONNX file gives other outputs.
    """
    require_torch()
    import torch

    stated = import_inputs(inputs)
    module = load_callable(spec, seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        example = {item.name: _example(item, stated.example_shape(item)) for item in stated.arguments} or None
        symbols = {item.name: {i: s for i, s in enumerate(item.symbols) if s} for item in stated.arguments}
        is_program = isinstance(module, torch.export.ExportedProgram)
        if is_program and stated.symbols:
            raise UsageError(f"{spec} is a torch.export program, whose symbolic dimensions are fixed: give sizes only")
        if not is_program and not example:
            raise UsageError(f"{spec}: name each parameter of forward with --input NAME=SHAPE:DTYPE")
        if isinstance(module, torch.nn.Module):
            _check_names(spec, module, [item.name for item in stated.arguments])
        capture(module, example, output, dynamic_shapes=symbols if stated.symbols else None, ranges=stated.ranges)
    source = CaptureSource(spec, tuple(inputs), seed, str(torch.__version__), __version__)
    write_whole(source_path(output), to_json(source))
    return output


def _check_names(spec: str, module: "torch.nn.Module", names: Sequence[str]) -> None:
    """Raise UsageError where ``forward`` cannot be called with arguments of these names."""
    signature = inspect.signature(module.forward)
    try:
        signature.bind(**dict.fromkeys(names))
    except TypeError as cause:
        takes, given = (", ".join(found) for found in (signature.parameters, names))
        raise UsageError(f"{spec}: forward takes {takes}, --input names {given}: use forward's names") from cause


def load_callable(spec: str, *, seed: int = 0) -> "Capturable":
    """The module that ``MODULE:CALLABLE`` returns or names; the same seed gives the same weights.

    Args:
        spec: as in ``import_callable``.
        seed: seed of torch's random numbers, set before the module is imported and again before the callable runs.

    Raises:
        UsageError: torch, the module or the attribute is missing, its code fails, or it returns no module.
    """
    require_torch()
    import torch

    module_name, _, attribute = spec.partition(":")
    if not module_name or not attribute:
        raise UsageError(f"{spec}: write MODULE:CALLABLE, such as torchvision.models:resnet50")
    with _working_directory_first(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        found = _attribute(_imported(module_name, spec), attribute, spec)
        if isinstance(found, torch.nn.Module | torch.export.ExportedProgram):
            return found
        if not callable(found):
            raise UsageError(f"{spec} is a {type(found).__name__}; a callable or a torch.nn.Module is needed")
        torch.manual_seed(seed)  # whether or not the module was imported before
        with TranslatedErrors(f"{spec}() failed", UsageError):
            made = found()
    if isinstance(made, torch.nn.Module | torch.export.ExportedProgram):
        return made
    raise UsageError(f"{spec}() returned a {type(made).__name__}; a torch.nn.Module is needed")


@contextlib.contextmanager
def _working_directory_first() -> Iterator[None]:
    """Put the working directory first on the import path, as ``python -m`` does."""
    here = os.getcwd()  # noqa: PTH109  sys.path holds strings
    sys.path.insert(0, here)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(here)


def _imported(name: str, spec: str) -> object:
    try:
        with TranslatedErrors(f"{spec}: importing {name} failed", UsageError):
            return importlib.import_module(name)
    except UsageError as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError) and cause.name and f"{name}.".startswith(f"{cause.name}."):
            where = "in the working directory or among the installed packages"
            raise UsageError(f"{spec}: there is no module {cause.name!r} {where}") from cause
        raise


def _attribute(module: object, path: str, spec: str) -> object:
    found = module
    for name in path.split("."):
        if not hasattr(found, name):
            raise UsageError(f"{spec}: {spec.partition(':')[0]} has no attribute {path!r}")
        found = getattr(found, name)
    return found


def _example(item: InputArg, shape: tuple[int, ...]) -> "torch.Tensor":
    """An example tensor: floats from N(0, 1), integers 0 or 1, or ones for a mask."""
    import torch

    dtype = getattr(torch, item.dtype or "float32", None)
    if not isinstance(dtype, torch.dtype):
        raise UsageError(f"--input {item.name}: torch has no element type {item.dtype}")
    made: torch.Tensor
    if "mask" in item.name:
        made = torch.ones(shape)
    elif dtype.is_floating_point or dtype.is_complex:
        made = torch.randn(shape)
    else:
        made = torch.randint(0, 2, shape)
    return made.to(dtype)
