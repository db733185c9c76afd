"""Reference models by name: how to build each ONNX file, and inputs for it."""

import functools
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mopar.zoo import Built, ZooModel, export_model, zoo_inputs, zoo_models
from tests.models import small

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "models"

Arrays = dict[str, NDArray[np.generic]]
Axes = tuple[int, ...]


@dataclass(frozen=True)
class ReferenceModel:
    """A reference model.

    Attributes:
        name: as the command line takes it.
        build: writes the ONNX file.
        inputs: a request for it, from a seed.
        recipe: identifies what the file depends on.
        deep: whether it needs torch or real weights (the marker ``models``).
    """

    name: str
    build: Callable[[Path], object]
    inputs: Callable[[int], Arrays]
    recipe: Callable[[], str]
    deep: bool = False


def _small(
    build: Callable[[Path], None],
    shapes: Mapping[str, Axes],
    integers: Mapping[str, int] | None = None,
    dtype: str = "float32",
) -> ReferenceModel:
    """A model of ``small``, named as its function is.

    Args:
        build: writes the ONNX file.
        shapes: of each input, at the point where the model is tested.
        integers: for each input of integers, the range of values: 0 to this, exclusive.
        dtype: of all other inputs.
    """
    inputs = functools.partial(_drawn, shapes, integers or {}, dtype)
    return ReferenceModel(build.__name__, build, inputs, _recipe_of_small)


def _of_zoo(model: ZooModel) -> ReferenceModel:
    return ReferenceModel(
        model.name,
        functools.partial(export_model, model.name),
        functools.partial(zoo_inputs, model.name),
        functools.partial(_recipe_of_zoo, model),
        deep=True,
    )


def _models() -> dict[str, ReferenceModel]:
    vector: dict[str, Axes] = {"x": (1, 16)}
    listed = [
        _small(small.mlp, vector),
        _small(small.skip, vector),
        _small(small.shared_weights, {"ids": (1, 5)}, {"ids": 32}),
        _small(small.towers, {"user": (1, 16), "item": (1, 24)}),
        _small(small.two_input, {"picture": (1, 3, 96, 96), "features": (1, 512)}),
        _small(small.if_capture, vector),
        _small(small.loop_capture, vector),
        _small(small.multi_output, vector),
        _small(small.conv_chain, {"image": (1, 3, 32, 32)}),
        _small(small.inception, {"image": (1, 3, 16, 16)}),
        _small(small.constant_weights, vector),
        _small(small.symbolic, {"x": (2, 5, 16)}),
        _small(small.lstm, {"x": (6, 1, 8)}),
        _small(small.sequence, vector),
        _small(small.unknown_size, vector),
        _small(small.half, vector, dtype="float16"),
        _small(small.external, {"x": (1, 64)}),
        *map(_of_zoo, zoo_models()),
    ]
    return {item.name: item for item in listed}


def small_names() -> list[str]:
    """The models that need no torch."""
    return [item.name for item in MODELS.values() if not item.deep]


def sample_inputs(name: str, seed: int = 0) -> Arrays:
    """Random inputs for a model, from a seed."""
    return MODELS[name].inputs(seed)


def materialise(name: str, folder: Path | None = None) -> Path:
    """The ONNX file of a model; built if it does not exist.

    Args:
        name: a key of ``MODELS``.
        folder: where files are kept; default: ``.cache/models`` of the project, in a folder for the model's recipe.
    """
    model = MODELS[name]
    home = (folder or CACHE / model.recipe()) / name
    path = home / f"{name}.onnx"
    if path.exists():
        return path
    home.parent.mkdir(parents=True, exist_ok=True)
    room = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=home.parent))
    try:
        model.build(room / path.name)
        if not home.exists():  # another process may have been faster
            room.rename(home)
    finally:
        shutil.rmtree(room, ignore_errors=True)
    return path


def _drawn(shapes: Mapping[str, Axes], integers: Mapping[str, int], dtype: str, seed: int) -> Arrays:
    random = np.random.default_rng(seed)
    return {
        key: random.integers(0, integers[key], shape)
        if key in integers
        else random.standard_normal(shape).astype(dtype)
        for key, shape in shapes.items()
    }


def _recipe_of_small() -> str:
    return _digest(Path(__file__).parent.glob("*.py"), "onnx")


def _recipe_of_zoo(model: ZooModel) -> str:
    """Its builder, what all exports share, the capture, and the versions of the libraries."""
    zoo = ROOT / "src/mopar/zoo"
    shared = [zoo / f"{name}.py" for name in ("_child", "build", "export", "inputs", "weights")]
    own = [zoo / f"{model.origin.builder.partition(':')[0]}.py"] if isinstance(model.origin, Built) else []
    libraries = ("torch", "torchvision", "transformers", "onnxscript", *model.packages)
    return _digest([*shared, *own, *(ROOT / "src/mopar/capture").glob("*.py")], *libraries, said=repr(model))


def _digest(sources: Iterable[Path], *packages: str, said: str = "") -> str:
    digest = hashlib.sha256(said.encode())
    for source in sorted(sources):
        digest.update(source.read_bytes())
    for package in packages:
        digest.update(_version(package).encode())
    return digest.hexdigest()[:12]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


MODELS = _models()
