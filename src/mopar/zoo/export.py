"""Exports models of the catalogue to files, each in a process of its own; files are replaced atomically."""

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import mopar.types
from mopar.files import nearest_folder, require_room, temporary_folder
from mopar.types import ModelError, MoparError, TensorSpec, format_shape
from mopar.zoo.catalogue import find_model
from mopar.zoo.inputs import zoo_inputs
from mopar.zoo.model import ZooModel
from mopar.zoo.reports import NotStored, Refused, Stage, Written, report_of

_KEPT_LINES = 20


def export_model(
    name: str, path: Path, *, seed: int = 0, progress: Callable[[str], None] = lambda _stage: None
) -> tuple[Path, ...]:
    """Write a model of the zoo, large weights in a separate file, and ``PATH.inputs.npz`` with a sample request.

    The files are replaced once all of them are complete, the model last.

    Args:
        name: name of the model.
        path: the ONNX file.
        seed: seed of the sample request.
        progress: called with a description of each stage.

    Returns:
        The files: the ONNX file first.

    Raises:
        UsageError: the zoo has no such model, or a package that the export needs is missing.
        ModelError: the model could not be captured, or its inputs or outputs differ from the catalogue's.
        OSError: a file cannot be written; it names ``path``.
    """
    model = find_model(name)
    with _naming(path):
        home = nearest_folder(path)
        require_room(home, model.weight_bytes)
        with temporary_folder(f".{path.name}.", home) as room:
            made = room / "made" / path.name
            made.parent.mkdir()
            written = _exported(model, made, room, progress)
            _check(model, "input", [item.spec for item in model.inputs], written.inputs)
            _check(model, "output", model.outputs, written.outputs)
            np.savez(inputs_path(made), allow_pickle=False, **zoo_inputs(name, seed))
            path.parent.mkdir(parents=True, exist_ok=True)
            files = sorted(made.parent.iterdir(), key=lambda file: (file == made, file))
            for file in files:
                file.chmod(0o644)
                file.replace(path.with_name(file.name))
    return tuple(path.with_name(file.name) for file in reversed(files))


def inputs_path(model: Path) -> Path:
    """The path of a model file's sample request: ``MODEL.inputs.npz``."""
    return model.with_suffix(".inputs.npz")


def _exported(model: ZooModel, path: Path, room: Path, progress: Callable[[str], None]) -> Written:
    """Export in a new process to ``path``; ``room`` is its folder for other files. Returns the file's interface."""
    command = [sys.executable, "-P", "-m", "mopar.zoo._child", model.name, str(path)]
    # These keep libraries from downloading anything.
    environment = {**os.environ, "TMPDIR": str(room), "HF_HUB_OFFLINE": "1"}
    written: Written | None = None
    lines: deque[str] = deque(maxlen=_KEPT_LINES)
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                match report_of(line):
                    case Stage(text):
                        progress(text)
                    case Written() as written:
                        pass
                    case Refused(kind, message):
                        raise _refusal(kind, message)
                    case NotStored(number):
                        raise OSError(number, os.strerror(number), str(path))
                    case None if line.strip():
                        lines.append(line.decode(errors="replace").strip())
            process.wait()
        finally:
            process.kill()
    if written is None or process.returncode:
        raise ModelError(f"{model.name}: the exporting process {_ending(process.returncode, lines)}")
    return written


def _refusal(kind: str, message: str) -> MoparError:
    error = getattr(mopar.types, kind)
    assert issubclass(error, MoparError)
    refusal: MoparError = error(message)
    return refusal


def _ending(status: int, lines: Sequence[str]) -> str:
    """How a process ended, as text."""
    if status == -signal.SIGALRM:
        return "took too long and was ended"
    if status < 0:
        hint = "; is there enough memory?" if status == -signal.SIGKILL else ""
        return f"was killed by {signal.Signals(-status).name}{hint}"
    return f"failed: {lines[-1] if lines else f'exit status {status}'}"


def _check(model: ZooModel, kind: str, wanted: Sequence[TensorSpec], found: Sequence[TensorSpec]) -> None:
    """Compare a file's interface with the catalogue. Raises ModelError where they differ."""
    if tuple(wanted) != tuple(found):
        want, got = (
            ", ".join(f"{i.name}={format_shape(i.shape)}:{i.dtype}" for i in specs) for specs in (wanted, found)
        )
        raise ModelError(f"{model.name}: exported with {kind}s {got} where the catalogue says {want}")


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Make an OSError name the file that the user specified."""
    try:
        yield
    except OSError as cause:
        raise OSError(cause.errno, cause.strerror or str(cause), str(path)) from cause
