"""The oracle: a model cut anywhere computes the reference model's outputs."""

import itertools
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from mopar.graph import Cut, Layer, Model, cut_positions, extract, layers_of, load_model, save_model

Array = npt.NDArray[np.generic]
TOLERANCES = {"float16": 5e-3, "float32": 1e-4, "float64": 1e-4}


def run_file(path: Path, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Outputs of a model file by name, computed by the engine with its default options."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    wanted = [value.name for value in session.get_outputs()]
    taken = {value.name: feeds[value.name] for value in session.get_inputs()}
    return dict(zip(wanted, session.run(wanted, taken), strict=True))


def run_part(model: Model, layers: Sequence[Layer], start: int, stop: int, known: dict[str, Array]) -> None:
    """Run layers ``start`` to ``stop`` from a separate file and add their outputs to ``known``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part.onnx"
        save_model(extract(model, start, stop, layers), path)
        known.update(run_file(path, known))


def assert_equal(got: Mapping[str, Array], want: Mapping[str, Array], where: str) -> None:
    """Every output of ``want`` within the tolerance: max|got - want| / max|want|, exact unless floating."""
    for name, expected in want.items():
        actual = got[name]
        assert actual.dtype == expected.dtype, f"{where}: {name} is {actual.dtype}, not {expected.dtype}"
        assert actual.shape == expected.shape, f"{where}: {name} has shape {actual.shape}, not {expected.shape}"
        if not np.issubdtype(expected.dtype, np.floating):
            assert np.array_equal(actual, expected), f"{where}: {name} differs"
            continue
        finite = np.isfinite(expected)
        assert np.array_equal(actual[~finite], expected[~finite], equal_nan=True), f"{where}: {name} differs"
        exact, found = expected[finite].astype(np.float64), actual[finite].astype(np.float64)
        scale = float(np.max(np.abs(exact), initial=0.0)) or 1.0
        error = float(np.max(np.abs(found - exact), initial=0.0)) / scale
        assert error <= TOLERANCES[expected.dtype.name], f"{where}: {name} is off by {error:.2e}"


def composed_equals_whole(
    path: Path, feeds: Mapping[str, Array], *, every: int = 1
) -> tuple[Model, tuple[Layer, ...], tuple[Cut, ...]]:
    """Cut the model of a file at every ``every``-th position, in two, and at all of them at once.

    The composed parts must compute what the engine computes for the unchanged file.
    """
    want = run_file(path, feeds)
    model = load_model(path)
    layers = layers_of(model)
    cuts = cut_positions(model, layers)
    places = [cut.index for cut in cuts][::every]
    count = len(layers)
    for bounds in [[0, count], *([0, place, count] for place in places), [0, *places, count]]:
        known = dict(feeds)
        for start, stop in itertools.pairwise(bounds):
            if start < stop:
                run_part(model, layers, start, stop, known)
        assert_equal(known, want, f"{path.name} cut at {bounds[1:-1]}")
    return model, layers, cuts
