"""Name -> how its ONNX file is made, and inputs for it."""

import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.models import deep, small

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
        shapes: the shape of each input at the point where the model is tested.
        integers: for each input of integers, the values drawn: 0 to this, exclusive.
        deep: whether it needs torch or real weights (the marker ``models``).
        dtype: of the inputs that are no integers.
    """

    name: str
    build: Callable[[Path], None]
    shapes: Mapping[str, Axes]
    integers: Mapping[str, int]
    deep: bool = False
    dtype: str = "float32"


def _models() -> dict[str, ReferenceModel]:
    vector: dict[str, Axes] = {"x": (1, 16)}
    tokens = dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), (1, 128))
    none: dict[str, int] = {}
    listed = [
        ReferenceModel("mlp", small.mlp, vector, none),
        ReferenceModel("skip", small.skip, vector, none),
        ReferenceModel("shared_weights", small.shared_weights, {"ids": (1, 5)}, {"ids": 32}),
        ReferenceModel("towers", small.towers, {"user": (1, 16), "item": (1, 24)}, none),
        ReferenceModel("two_input", small.two_input, {"picture": (1, 3, 96, 96), "features": (1, 512)}, none),
        ReferenceModel("if_capture", small.if_capture, vector, none),
        ReferenceModel("loop_capture", small.loop_capture, vector, none),
        ReferenceModel("multi_output", small.multi_output, vector, none),
        ReferenceModel("conv_chain", small.conv_chain, {"image": (1, 3, 32, 32)}, none),
        ReferenceModel("constant_weights", small.constant_weights, vector, none),
        ReferenceModel("symbolic", small.symbolic, {"x": (2, 5, 16)}, none),
        ReferenceModel("lstm", small.lstm, {"x": (6, 1, 8)}, none),
        ReferenceModel("sequence", small.sequence, vector, none),
        ReferenceModel("unknown_size", small.unknown_size, vector, none),
        ReferenceModel("half", small.half, vector, none, dtype="float16"),
        ReferenceModel("external", small.external, {"x": (1, 64)}, none),
        ReferenceModel("resnet50", deep.resnet50, {"x": (1, 3, 224, 224)}, none, deep=True),
        ReferenceModel("bilstm", deep.bilstm, {"x": (1, deep.TIME_STEPS, 128)}, none, deep=True),
        ReferenceModel(
            "minilm", deep.minilm, tokens, {"input_ids": 30522, "attention_mask": 2, "token_type_ids": 2}, deep=True
        ),
        ReferenceModel("ppocr_rec", deep.ppocr_rec, {"x": (1, 3, 48, 320)}, none, deep=True),
    ]
    return {item.name: item for item in listed}


MODELS = _models()


def small_names() -> list[str]:
    """The models that need no torch."""
    return [item.name for item in MODELS.values() if not item.deep]


def sample_inputs(name: str, seed: int = 0) -> Arrays:
    """Inputs for a model; another seed, other values. A mask has zeros at its end only, as padding does."""
    model, random = MODELS[name], np.random.default_rng(seed)
    made: Arrays = {}
    for key, shape in model.shapes.items():
        if "mask" in key:
            made[key] = (np.arange(shape[-1]) < shape[-1] - seed % 8).astype(np.int64) * np.ones(shape, np.int64)
        elif key in model.integers:
            made[key] = random.integers(0, model.integers[key], shape)
        else:
            made[key] = random.standard_normal(shape).astype(model.dtype)
    return made


def materialise(name: str, folder: Path | None = None) -> Path:
    """The ONNX file of a model, made where it is not there yet.

    A deep model is made in a process of its own: what one export leaves behind in torch changes the next one's symbolic
    axes, and torch's memory goes with the process.

    Args:
        name: a key of ``MODELS``.
        folder: where files are kept; default: ``.cache/models`` of the project, in a folder for this recipe.
    """
    home = (folder or CACHE / _recipe()) / name
    path = home / f"{name}.onnx"
    if path.exists():
        return path
    home.parent.mkdir(parents=True, exist_ok=True)
    room = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=home.parent))
    try:
        _build(name, room / path.name)
        if not home.exists():  # another process may have been quicker
            room.rename(home)
    finally:
        shutil.rmtree(room, ignore_errors=True)
    return path


def _build(name: str, path: Path) -> None:
    model = MODELS[name]
    if not model.deep:
        model.build(path)
        return
    command = [sys.executable, "-m", "tests.models", name, "--build", "-o", str(path)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} could not be made: {done.stderr}")


@functools.cache
def _recipe() -> str:
    """Names what the files depend on: the recipes, the capture, and the version of torch."""
    sources = [
        *Path(__file__).parent.glob("*.py"),
        *(ROOT / "src/mopar/capture").glob("*.py"),
        ROOT / "examples/minilm.py",
    ]
    digest = hashlib.sha256()
    for source in sorted(sources):
        digest.update(source.read_bytes())
    digest.update(version("torch").encode())
    return digest.hexdigest()[:12]
