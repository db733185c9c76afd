"""The package of an entry function, which runs the plan: the gateway's executor, what it imports, and the manifest."""

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import mopar
from mopar.bundle import MANIFEST, Bundle
from mopar.bundle.single_call import whole_graph
from mopar.files import cache_directory, sha256_of, storage_error, temporary_folder, to_json, whole_file
from mopar.platforms.aws_lambda.archive import unpacked_bytes, write_archive
from mopar.platforms.aws_lambda.function_package import RUNTIME, Architecture, FunctionPackage
from mopar.platforms.aws_lambda.naming import ENTRY
from mopar.platforms.aws_lambda.packages import BOOTSTRAP, WRAPPED, bootstrap
from mopar.platforms.aws_lambda.runtime_files import CONFIG
from mopar.platforms.aws_lambda.target import LAMBDA_VERSION, downloaded, is_own, lambda_python
from mopar.platforms.container.images.compiled import compile_tree
from mopar.platforms.container.images.layers import cached_tree, place, stamps_of
from mopar.platforms.function_process import GraphForm, ServedGraph, config_of
from mopar.types import EngineOptions, PlatformError

_MODULE = "mopar.pipeline.entry"
_PACKAGES = ("httptools", "msgspec")
_OWN_VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
_HOME = Path(mopar.__file__).parents[1]
_ASK = f"""
import json, os, sys
sys.path[:] = sys.argv[1].split(os.pathsep)
import {_MODULE}
print(json.dumps([module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] == "mopar"]))
"""
_ASK_S = 60.0
_MIB = 1 << 20


def entry_package(
    bundle: Bundle, architecture: Architecture, memory_mib: int, into: Path, *, emulated: bool
) -> FunctionPackage:
    """Write the archive.

    Args:
        bundle: whose plan it runs (``with_passed_codes``).
        architecture: of the processors.
        memory_mib: to be bought.
        into: the folder to write it to.
        emulated: whether it runs on this machine, where Python may be another than Lambda's.

    Raises:
        PlatformError: what it imports cannot be had for the architecture.
        StorageError: a file cannot be read or written.
    """
    own = emulated and lambda_python() is None
    graph = ServedGraph(whole_graph(bundle.manifest, ENTRY), GraphForm("", EngineOptions()))
    files: dict[str, Path | bytes] = {
        CONFIG: config_of(ENTRY, "", 1, memory_mib * _MIB, [graph]),
        MANIFEST: to_json(bundle.manifest),
        BOOTSTRAP: bootstrap(_MODULE),
    }
    path = into / f"{ENTRY}.zip"
    try:
        tree = _tree(architecture, _OWN_VERSION if own else LAMBDA_VERSION)
        files |= {file.relative_to(tree).as_posix(): file for file in tree.rglob("*") if file.is_file()}
        into.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as staging:
            write_archive(staging, files, frozenset({BOOTSTRAP}))
    except OSError as cause:
        raise storage_error(cause) from cause
    return FunctionPackage(
        function=ENTRY,
        kind="zip",
        path=path,
        packed_bytes=path.stat().st_size,
        unpacked_bytes=unpacked_bytes(path),
        sha256=sha256_of(path),
        architecture=architecture,
        runtime=RUNTIME,
        handler=WRAPPED.handler,
        environment=WRAPPED.environment,
        memory_mib=memory_mib,
        module=_MODULE,
    )


def _tree(architecture: Architecture, python: str) -> Path:
    """A folder with all that the handler imports, for a version of Python. Raises PlatformError, OSError."""
    sources = {str(path.relative_to(_HOME)): path for path in _imported()}
    for package in _PACKAGES:
        home = _home_of(package, architecture, python)
        found = [path for path in home.rglob("*") if path.suffix in {".py", ".so"} and "__pycache__" not in path.parts]
        sources |= {f"{package}/{path.relative_to(home)}": path for path in sorted(found)}
    compiling = sys.executable if python == _OWN_VERSION else lambda_python()

    def make(tree: Path) -> None:
        for name, path in sources.items():
            place(tree, name, path)
        if compiling is not None:
            compile_tree(tree, compiling)

    return cached_tree("lambda-entry", [compiling, architecture, *stamps_of(list(sources.values()))], make)


def _imported() -> list[Path]:
    """The files of mopar that the handler imports, as a process that has done so tells. Raises PlatformError."""
    command = [sys.executable, "-I", "-c", _ASK, os.pathsep.join(sys.path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_ASK_S, check=False)
    if done.returncode:
        raise PlatformError(f"{_MODULE} cannot be imported: {done.stderr.strip().splitlines()[-1:]}")
    return sorted(map(Path, json.loads(done.stdout)))


def _home_of(package: str, architecture: Architecture, python: str) -> Path:
    """The folder of a package: as installed here where that fits, or out of a wheel that pip fetches once."""
    if python == _OWN_VERSION and is_own(architecture):
        found = importlib.util.find_spec(package)
        if found is None or not found.submodule_search_locations:
            raise PlatformError(f"{package} is not installed: pip install {package}")
        return Path(next(iter(found.submodule_search_locations)))
    exact = f"{package}=={version(package)}"
    home = cache_directory() / "wheels" / f"{exact}-{python}-{architecture}"
    if not home.is_dir():
        home.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(f".{home.name}.", home.parent) as staging:
            with zipfile.ZipFile(downloaded(exact, architecture, staging / "wheel")) as wheel:
                wheel.extractall(staging / "files")
            (staging / "files").rename(home)
    return home / package
