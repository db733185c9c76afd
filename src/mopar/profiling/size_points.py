"""The model at other sizes than the measured point: what its tensors and layers hold there, what the whole needs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mopar.graph import Layer, Model
from mopar.profiling.entries import layer_profiles
from mopar.profiling.input_sizes import InputSizes, Shapes
from mopar.profiling.measure import Measurement
from mopar.profiling.points import point_of
from mopar.types import EngineError, InputError, ModelError, ProfileError, SizePoint
from mopar.types.ranges import sizes_text

_BEYOND = 2
"""Where only a point was given, requests are looked at whose open dimensions are so many times as large."""


@dataclass(frozen=True, slots=True)
class SizedRun:
    """A model at some sizes of its inputs.

    Attributes:
        shapes: of the inputs.
        measured: with tensors and kernels' memory at these sizes; its times are those of the measured point.
        latency_ms: of a run; None where it is not known.
    """

    shapes: Shapes
    measured: Measurement
    latency_ms: float | None


@dataclass(frozen=True, slots=True)
class SizedRuns:
    """Runs at the ends of a stated range, or beyond a point; see ``Profile``."""

    smallest: SizedRun | None = None
    largest: SizedRun | None = None
    beyond: SizedRun | None = None


def run_sizes(sizes: InputSizes, run: Callable[[Shapes], SizedRun]) -> SizedRuns:
    """Run a model at the sizes other than the measured point that are worth knowing.

    Args:
        sizes: of its inputs.
        run: the model on inputs of given shapes.

    Raises:
        InputError: the model refuses an end of the stated range.
    """
    if not any(item.is_open for item in sizes.ranges):
        return SizedRuns()
    if not sizes.stated:
        try:
            return SizedRuns(beyond=run(_beyond(sizes)))
        except (EngineError, ModelError, ProfileError):
            return SizedRuns()  # it takes no larger ones, so nothing is to be said of them
    return SizedRuns(smallest=_end(sizes, _smallest(sizes), run), largest=_end(sizes, sizes.largest, run))


def _end(sizes: InputSizes, shapes: Shapes, run: Callable[[Shapes], SizedRun]) -> SizedRun | None:
    if shapes == sizes.point:
        return None
    try:
        return run(shapes)
    except EngineError as cause:
        where = sizes_text(shapes, sizes.ranges)
        raise InputError(f"the model does not answer {where}: state a range that it answers ({cause})") from cause


def _smallest(sizes: InputSizes) -> Shapes:
    """At least 1 of everything: a size of 0 that nobody stated tells nothing."""
    return {
        item.name: tuple(max(size, min(1, most)) for size, most in zip(item.smallest, item.largest, strict=True))
        for item in sizes.ranges
    }


def _beyond(sizes: InputSizes) -> Shapes:
    return {
        item.name: tuple(
            _BEYOND * size if low != size else size for low, size in zip(item.smallest, item.largest, strict=True)
        )
        for item in sizes.ranges
    }


def size_point(
    model: Model, layers: tuple[Layer, ...], tensors: Sequence[str], run: SizedRun | None
) -> SizePoint | None:
    """What a run at other sizes showed; the whole's memory is still to come (``completed``).

    Args:
        model: in canonical form.
        layers: of it.
        tensors: names of the profile's, in order.
        run: at these sizes; None for none.

    Raises:
        ProfileError: the run did not make one of the tensors.
    """
    if run is None:
        return None
    held = layer_profiles(model, layers, run.measured)
    return SizePoint(
        shapes=dict(run.shapes),
        latency_ms=run.latency_ms,
        memory_mib=0.0,
        tensor_bytes=tuple(point_of(run.measured.points, name).bytes for name in tensors),
        layer_bytes=tuple(layer.activation_bytes + layer.workspace_bytes for layer in held),
    )
