"""The files that are the same in every function: what the handler imports, and ONNX Runtime."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import mopar
from mopar.platforms.aws_lambda.function_package import HANDLER
from mopar.platforms.aws_lambda.target import Target
from mopar.platforms.container.images.compiled import compile_tree
from mopar.platforms.container.images.layers import cached_tree, place, stamps_of
from mopar.platforms.function_process import command_of

_HOME = Path(mopar.__file__).parents[1]
CONFIG = "function.json"


def handler_command(python: str, root: str, module: str = HANDLER) -> list[str]:
    """The command line of a function whose files are in the folder ``root``, with all that the module imports."""
    return [*command_of(python, root, module, alone=True), f"{root}/{CONFIG}"]


def runtime_tree(target: Target, *, own_python: bool = False) -> Path:
    """A folder with what every function has.

    Args:
        target: what is packaged for.
        own_python: whether this machine's Python runs it, too.

    Raises:
        PlatformError: Python's files cannot be compiled.
        OSError: a file cannot be read or written.
    """
    sources = {f"{name.replace('.', '/')}": path for name, path in sorted(_imported(HANDLER).items())}
    pythons = [target.python] if target.python else []
    pythons += [sys.executable] if own_python and sys.executable not in pythons else []

    def make(tree: Path) -> None:
        place(tree, target.library.name, target.library)
        for path in sources.values():
            place(tree, str(path.relative_to(_HOME)), path)
        for python in pythons:
            compile_tree(tree, python)

    recipes = sorted(Path(__file__).parent.glob("*.py"))
    facts = [pythons, target.architecture, *stamps_of([*recipes, target.library, *sources.values()])]
    return cached_tree("lambda", facts, make)


def _imported(module: str) -> dict[str, Path]:
    """The modules of mopar that one imports, itself and packages above it included, by name.

    What is imported inside functions counts too; what only type checkers import does not.
    """
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _file_of(name)
        if name in found or path is None:
            continue
        found[name] = path
        waiting += [name.rpartition(".")[0], *_names(ast.parse(path.read_bytes()))]
    return found


def _file_of(module: str) -> Path | None:
    """The file of one of mopar's modules; None where it is none of those that run in functions."""
    if module != "mopar" and not module.startswith("mopar.runtime"):
        return None
    path = _HOME / module.replace(".", "/")
    return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)


def _names(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield child.module
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        else:
            yield from _names(child)
