"""Compares the outputs of a module with those of its ONNX file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mopar.capture._torch import TranslatedErrors
from mopar.types import ModelError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TOLERANCE = {"float16": 5e-3, "float32": 1e-4, "float64": 1e-4}


def check_answers(run: Any, args: tuple[Any, ...], kwargs: dict[str, Any], path: Path, *, named: bool) -> None:
    """Run a module and its ONNX file on the same arguments and compare their outputs.

    Args:
        run: the module, in evaluation mode.
        args: its positional arguments.
        kwargs: its keyword arguments.
        path: the ONNX file.
        named: whether the file's inputs are named like ``kwargs``.

    Raises:
        ModelError: the module fails, ONNX Runtime cannot run the file, an output differs by more than 1e-4 (float16:
            5e-3; integers and booleans: at all) of its largest value, or has a shape other than the declared one.
        UsageError: an argument cannot be converted to numpy.
    """
    with TranslatedErrors("the module fails on the example", ModelError):
        made = run(*args, **kwargs)
    want = [_array(leaf) for leaf in _tensors(made)]
    session = _session(path)
    names = [item.name for item in session.get_inputs()]
    if named and not args and set(names) == set(kwargs):
        feed = {name: _array(kwargs[name]) for name in names}
    else:
        feed = dict(zip(names, map(_array, _tensors((args, kwargs))), strict=False))
    outputs = [item.name for item in session.get_outputs()]
    declared = [item.shape for item in session.get_outputs()]
    got = _run(session, outputs, feed, path)
    if len(want) != len(got):
        raise ModelError(f"{path.name}: the module gives {len(want)} tensors, its ONNX file {len(got)}")
    for name, one, other, shape in zip(outputs, want, got, declared, strict=True):
        _compare(path.name, name, one, other)
        if any(isinstance(dim, int) and dim != size for dim, size in zip(shape, other.shape, strict=False)):
            raise ModelError(f"{path.name}: output {name!r} is said to be {shape}, and is {list(other.shape)}")


def _tensors(tree: Any) -> list[Any]:
    """The tensors in nested arguments or results, in order."""
    import torch
    from torch.utils import _pytree

    return [leaf for leaf in _pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _array(tensor: Any) -> "NDArray[Any]":
    try:
        array: NDArray[Any] = tensor.detach().cpu().numpy()
    except (TypeError, AttributeError) as cause:
        kind = getattr(tensor, "dtype", type(tensor).__name__)
        raise UsageError(
            f"{kind} has no numpy form, so answers cannot be compared; capture with check=False"
        ) from cause
    return array


def _session(path: Path) -> Any:
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except (state.Fail, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented, RuntimeError) as cause:
        raise ModelError(f"{path.name}: ONNX Runtime cannot load what was captured: {_line(cause)}") from cause


def _run(session: Any, outputs: Sequence[str], feed: "dict[str, NDArray[Any]]", path: Path) -> "list[NDArray[Any]]":
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    try:
        got: list[NDArray[Any]] = session.run(list(outputs), feed)
    except (state.Fail, state.InvalidArgument, state.RuntimeException, ValueError, RuntimeError) as cause:
        raise ModelError(f"{path.name}: ONNX Runtime cannot run what was captured: {_line(cause)}") from cause
    return got


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _compare(file: str, output: str, want: "NDArray[Any]", got: "NDArray[Any]") -> None:
    """Raise ModelError where ``got`` is not ``want``."""
    import numpy as np

    if want.shape != got.shape or want.dtype != got.dtype:
        kinds = f"{want.dtype}{list(want.shape)} by the module, {got.dtype}{list(got.shape)} by the ONNX file"
        raise ModelError(f"{file}: output {output!r} is {kinds}")
    tolerance = _TOLERANCE.get(want.dtype.name, 0.0)
    if want.size == 0 or np.array_equal(want, got, equal_nan=tolerance > 0):
        return
    error = relative_error(want, got)
    if not error <= tolerance:
        raise ModelError(
            f"{file}: output {output!r} differs from the module's by {error:.2g} of its largest value (at most "
            f"{tolerance:g}); does the module draw random numbers or depend on the example's values?"
        )


def relative_error(want: "NDArray[Any]", got: "NDArray[Any]") -> float:
    """The error, max |got - want| / max |want|, of two arrays of one shape; equal NaNs and infinities count as 0."""
    import numpy as np

    same = (want == got) | ((want != want) & (got != got))  # noqa: PLR0124  NaN is what differs from itself
    if same.all():
        return 0.0
    left, right = want[~same].astype(np.float64), got[~same].astype(np.float64)
    finite = np.abs(want[np.isfinite(want)].astype(np.float64))
    largest = float(finite.max()) if finite.size else 0.0
    worst = float(np.max(np.abs(left - right)))
    return worst / largest if largest else (np.inf if worst else 0.0)
