"""The layers with mopar itself: what runs in every function, and what the gateway runs."""

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import mopar
from mopar.platforms.codes import codec_library
from mopar.platforms.container.images.compiled import compile_tree
from mopar.platforms.container.images.layers import Layer, cached_layer, open_folder, place, stamps_of
from mopar.platforms.container.images.paths import CODECS, ENGINE, SECRETS, SOCKETS, SOURCES
from mopar.platforms.local.library import engine_library
from mopar.types import PlatformError

_HOME = Path(mopar.__file__).parent
_IN_FUNCTIONS = ("__init__.py", "runtime")
_IN_GATEWAY = (
    "__init__.py", "buffers.py", "bundle", "cli", "files.py", "gateway", "limits", "machine.py", "segments.py",
    "pipeline/__init__.py", "pipeline/serve.py", "platforms", "runtime", "types",
)  # fmt: skip
_PACKAGES = ("httptools", "msgspec", "uvloop")
_SUFFIXES = {".py", ".so"}


def runtime_layer() -> Layer:
    """ONNX Runtime's library and ``mopar.runtime``. Raises PlatformError, OSError."""
    parts = dict(_parts(_IN_FUNCTIONS))
    library = engine_library()

    def make(tree: Path) -> None:
        place(tree, ENGINE, library)
        for name, path in parts.items():
            place(tree, f"{SOURCES}/{name}", path)
        compile_tree(tree)
        open_folder(tree, SOCKETS)

    return cached_layer("runtime", [sys.version, *stamps_of([library, *parts.values()])], make)


def codec_layer() -> Layer:
    """Blosc2's library, where tensors are sent encoded. Raises PlatformError, OSError."""
    library = codec_library()
    return cached_layer("codecs", stamps_of([library]), lambda tree: place(tree, CODECS, library))


def serving_layer() -> Layer:
    """What the gateway's process imports, mopar's own and installed packages. Raises PlatformError, OSError."""
    parts = dict(_parts(_IN_GATEWAY))
    for package in _PACKAGES:
        home = _package(package)
        parts |= {f"{package}/{path.relative_to(home)}": path for path in _files(home)}

    def make(tree: Path) -> None:
        for name, path in parts.items():
            place(tree, f"{SOURCES}/{name}", path)
        compile_tree(tree)
        for folder in (SOCKETS, SECRETS):
            open_folder(tree, folder)

    return cached_layer("serving", [sys.version, *stamps_of(list(parts.values()))], make)


def _parts(names: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Files of mopar by where they are below the folder of sources."""
    for name in names:
        path = _HOME / name
        for file in _files(path) if path.is_dir() else [path]:
            yield f"mopar/{file.relative_to(_HOME)}", file


def _files(home: Path) -> list[Path]:
    found = [path for path in home.rglob("*") if path.suffix in _SUFFIXES and "__pycache__" not in path.parts]
    return sorted(found)


def _package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise PlatformError(f"{name} is not installed: pip install {name}")
    return Path(next(iter(found.submodule_search_locations)))
