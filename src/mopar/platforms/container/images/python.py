"""The layer that all images share: this machine's interpreter, its standard library, and what they are linked with."""

import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from mopar.platforms.container.images.compiled import compile_tree
from mopar.platforms.container.images.layers import Layer, cached_layer, open_folder, place, stamps_of
from mopar.platforms.container.images.libraries import libraries_of, loader_of
from mopar.platforms.container.images.paths import LIBRARIES, PYTHON_HOME, USER
from mopar.platforms.local.library import engine_library
from mopar.types import PlatformError

PYTHON = f"{PYTHON_HOME}/bin/python3"
_LEFT_OUT = {
    "__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip",
    "lib2to3", "pydoc_data", "distutils", "unittest", "venv", "curses", "dbm", "sqlite3", "xmlrpc", "wsgiref",
    "msilib", "turtle.py", "doctest.py", "pydoc.py", "pdb.py", "antigravity.py", "this.py", "sitecustomize.py",
}  # fmt: skip
_LEFT_OUT_PREFIXES = ("config-", "_test", "_ctypes_test", "xx", "_xx", "_tkinter", "_curses", "_sqlite3", "_dbm",
                      "_gdbm", "readline", "ossaudiodev", "nis.", "_codecs_")  # fmt: skip
"""Of the standard library, what neither a function nor the gateway imports."""
_TLS = ("_ssl", "_hashlib")
"""Modules of OpenSSL, which takes 6 MiB."""
_PASSWD = f"root:x:0:0:root:/:/sbin/nologin\nmopar:x:{USER}:{USER}:mopar:/:/sbin/nologin\n"
_GROUP = f"root:x:0:\nmopar:x:{USER}:\n"


def python_layer(*, tls: bool = False) -> Layer:
    """This machine's Python, without what no function needs.

    Args:
        tls: whether functions speak TLS.

    Raises:
        PlatformError: it cannot be taken apart; the message says what would do.
        OSError: a file cannot be read or written.
    """
    program = Path(os.path.realpath(sys.executable))
    library = Path(sysconfig.get_path("stdlib"))
    if not (library / "os.py").is_file():
        raise PlatformError(f"{library} is no folder of Python's standard library: use --base-image python:3-slim")
    files = sorted(_kept(library, _LEFT_OUT_PREFIXES if tls else (*_LEFT_OUT_PREFIXES, *_TLS)))
    modules = [path for path in files if path.suffix == ".so"]
    facts = [tls, sys.version, str(library), *stamps_of([program, engine_library(), *files])]

    def make(tree: Path) -> None:
        loader = loader_of(program)
        place(tree, PYTHON, program, program=True)
        place(tree, str(loader), Path(os.path.realpath(loader)), program=True)
        for name, path in libraries_of([program, engine_library(), *modules], loader).items():
            place(tree, f"{LIBRARIES}/{name}", path)
        inside = f"{PYTHON_HOME}/{library.relative_to(sys.base_prefix)}"
        for path in files:
            place(tree, f"{inside}/{path.relative_to(library)}", path)
        (tree / inside.lstrip("/") / "lib-dynload").mkdir(exist_ok=True)  # Python looks for it to find itself
        compile_tree(tree)
        place(tree, "/etc/passwd", _PASSWD.encode())
        place(tree, "/etc/group", _GROUP.encode())
        open_folder(tree, "/tmp")  # noqa: S108 - of the image

    return cached_layer("python", facts, make)


def _kept(folder: Path, left_out: tuple[str, ...]) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name in _LEFT_OUT or path.name.startswith(left_out):
            continue
        if path.is_dir():
            yield from _kept(path, left_out)
        elif path.suffix in {".py", ".so"} and path.is_file():  # a link may lead nowhere
            yield path
