"""Writes models: an ONNX file, and a file of weights that the engine can map."""

import errno
import os
from pathlib import Path

import onnx_ir as ir

from mopar.files import temporary_folder
from mopar.types import ModelError

_EXTERNAL_BYTES = 1024
_PAGE_BYTES = 4096


def save_model(model: ir.Model, path: Path) -> tuple[Path, ...]:
    """Write a model's files atomically.

    Weights of at least 1 KiB go to ``<stem>.data`` in the same folder, one after the other and never
    all in memory; those of a page or more are aligned to pages, so that the engine can map them.

    Returns:
        The files: the ONNX file first, then the weights, if there are any.

    Raises:
        ModelError: the weights would overwrite the file that they are read from, or are not valid.
        OSError: a file cannot be written, or the weights cannot be read.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = path.with_name(f"{path.stem}.data")
    _check_sources(model, data)
    with temporary_folder(f".{path.name}.", path.parent) as folder:
        temporary = folder / path.name
        try:
            ir.save(
                model,
                temporary,
                format="protobuf",
                external_data=data.name,
                # onnx-ir externalises tensors larger than this limit, not those of equal size.
                size_threshold_bytes=_EXTERNAL_BYTES - 1,
                alignment=_PAGE_BYTES,
                align_threshold=_PAGE_BYTES - 1,
            )
        except OSError as cause:
            number = cause.errno or errno.ENOSPC  # numpy reports a short write without its errno
            raise OSError(number, os.strerror(number), str(path)) from cause
        except ValueError as cause:
            raise ModelError(f"{path}: the model cannot be written: {cause}") from cause
        written = (path, data) if (temporary.parent / data.name).exists() else (path,)
        # Weights first, so that the ONNX file never exists without them.
        for file in reversed(written):
            (temporary.parent / file.name).chmod(0o644)
            (temporary.parent / file.name).replace(file)
    return written


def _check_sources(model: ir.Model, data: Path) -> None:
    if not data.exists():
        return
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if isinstance(tensor, ir.ExternalTensor) and Path(tensor.path).exists() and data.samefile(tensor.path):
            raise ModelError(f"{data}: the model's own weights are read from it; choose another name")
