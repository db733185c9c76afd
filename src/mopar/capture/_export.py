"""Exports a module through ``torch.export`` to an ONNX file that is written atomically."""

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mopar.capture._check import check_answers
from mopar.capture._outputs import dataclasses_as_dicts, name_interface
from mopar.capture._ranges import check_ranges, fits
from mopar.capture._symbols import check_other_sizes, check_symbols
from mopar.capture._torch import TranslatedErrors, evaluating, quiet, require_torch, unchanged_state
from mopar.files import temporary_folder
from mopar.types import ModelError, UsageError
from mopar.types.ranges import Bounds

if TYPE_CHECKING:
    import torch

_EXTERNAL_BYTES = 1 << 30
"""Size of the weights above which they go to a separate file, written tensor by tensor instead of as one message."""

Example = tuple[Any, ...] | Mapping[str, Any]


def capture(
    module: "torch.nn.Module | torch.export.ExportedProgram",
    example_inputs: Example | None,
    path: Path,
    *,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    dynamic_shapes: Any = None,
    ranges: Mapping[str, Bounds] | None = None,
    check: bool = True,
) -> Path:
    """Write ``module`` as an ONNX file.

    The module is captured in evaluation mode; its own mode is restored afterwards. Weights are not copied in memory;
    more than 1 GiB of them go to ``PATH.data``.

    Args:
        module: the module, or a ``torch.export`` program.
        example_inputs: arguments of ``forward``, as a tuple or by name; None for those of the program.
        path: the file to write; it is replaced atomically.
        input_names: names of the ONNX inputs, in order; default: the parameters of ``forward``.
        output_names: names of the ONNX outputs, in order; default: the keys of the module's result.
        dynamic_shapes: as in ``torch.export.export``; a string also names the dimension in the file.
        ranges: the smallest and the largest size of dimensions, by their name in ``dynamic_shapes``.
        check: whether to compare the outputs of module and file, on the example and at other sizes of symbolic
            dimensions.

    Returns:
        ``path``.

    Raises:
        UsageError: torch is missing, ``module`` is not a module, or the example is missing.
        ModelError: the module cannot be captured, a dimension did not stay symbolic or does not accept its range, or
            the ONNX file gives other outputs.
    """
    require_torch()
    import torch

    if not isinstance(module, torch.nn.Module | torch.export.ExportedProgram):
        raise UsageError(f"{type(module).__name__} is no torch.nn.Module and no torch.export.ExportedProgram")
    args, kwargs = _arguments(module, example_inputs)
    name = type(module).__name__
    with _runnable(module) as run, unchanged_state():
        with quiet(), TranslatedErrors(f"{name} cannot be captured by torch.export", ModelError):
            program = torch.onnx.export(
                module,
                args,
                kwargs=kwargs,
                input_names=input_names,
                output_names=output_names,
                dynamic_shapes=dynamic_shapes,
                dynamo=True,
                verbose=False,
            )
        assert program is not None, "the torch.export based exporter returns its program"
        if output_names is None:
            name_interface(program)
        check_symbols(program.model.graph.inputs, dynamic_shapes)
        check_ranges(program, ranges or {})
        with _beside(path) as written:
            _save(program, written)
            if check:
                check_answers(run, args, kwargs, written, named=input_names is None)
                check_other_sizes(
                    run,
                    args,
                    kwargs,
                    written,
                    dynamic_shapes,
                    named=input_names is None,
                    ranges=ranges or {},
                    fits=functools.partial(fits, program),
                )
    return path


@contextlib.contextmanager
def _runnable(module: Any) -> "Iterator[torch.nn.Module]":
    """The module in evaluation mode, or a program's module, whose mode is fixed."""
    import torch

    if isinstance(module, torch.nn.Module):
        with evaluating(module), dataclasses_as_dicts(module):
            yield module
    else:
        yield module.module()


def _arguments(module: Any, example: Example | None) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The example as positional and keyword arguments. Raises UsageError where there is none."""
    if example is None:
        example = getattr(module, "example_inputs", None)
        if not isinstance(example, tuple):
            raise UsageError(f"{type(module).__name__}: example inputs are needed to capture a module")
        args, kwargs = example
        return tuple(args), dict(kwargs)
    if isinstance(example, Mapping):
        return (), dict(example)
    return tuple(example), {}


def _save(program: Any, path: Path) -> None:
    """Write an ``ONNXProgram``, with large weights in a separate file."""
    sizes = (tensor.const_value.nbytes for tensor in program.model.graph.initializers.values())
    with quiet(), TranslatedErrors(f"{path.name} cannot be written", ModelError):
        program.save(path, external_data=sum(sizes) > _EXTERNAL_BYTES)


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A path of the same name in a temporary folder, whose files are moved to ``path``'s folder at the end.

    The name is kept because a model refers to its external data by file name. The model itself is moved last.
    """
    with contextlib.ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(temporary_folder(f".{path.name}.", path.parent))
        except OSError as cause:
            raise UsageError(f"{path}: cannot be written: {cause.strerror or cause}") from cause
        written = folder / path.name
        yield written
        for file in sorted(folder.iterdir(), key=lambda file: file == written):
            file.replace(path.with_name(file.name))
