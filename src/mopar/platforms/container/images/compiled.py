"""Python files compiled ahead of time: a container cannot write to its files, and starts without compiling any."""

import subprocess
import sys
from pathlib import Path

from mopar.types import PlatformError

_TIMEOUT_S = 300.0
_COMPILE = """
import os, py_compile, sys
tree, mode = sys.argv[1], py_compile.PycInvalidationMode.UNCHECKED_HASH
for folder, names, files in os.walk(tree):
    names.sort()
    for name in sorted(files):
        if name.endswith(".py"):
            path = os.path.join(folder, name)
            try:
                py_compile.compile(path, dfile=path[len(tree):], doraise=True, invalidation_mode=mode)
            except (py_compile.PyCompileError, SyntaxError, UnicodeDecodeError):
                pass
"""
"""A file that is not valid is left as it is: what does not import it does not mind."""


def compile_tree(tree: Path, python: str = sys.executable) -> None:
    """Compile every Python file of an image's tree, for the Python that does it.

    The compiled files hold no time, and name their sources as they are called in the image. A process of its own makes
    them, with hashes that are the same each time, since they depend on what else an interpreter has loaded.

    Raises:
        PlatformError: it failed.
    """
    command = [python, "-S", "-s", "-c", _COMPILE, str(tree)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False, env={"PYTHONHASHSEED": "0"}
    )
    if done.returncode:
        raise PlatformError(f"Python's files could not be compiled: {done.stderr.strip().splitlines()[-1:]}")
