"""Write the versions installed here as pip constraints: ``python tools/lock.py requirements.lock``.

A local version such as ``1.0+cpu`` names a build that other machines cannot get, so its suffix is dropped. torch and
its dependencies are left out: which build fits depends on the machine.
"""

import re
import sys
from importlib.metadata import distributions
from pathlib import Path

HEADER = """\
# The versions that CI ran, as constraints: pip install -c requirements.lock -e '.[dev]'. Made by `make lock`.
# torch, torchvision and the libraries that only some builds of torch bring are left out: pip takes the build that
# fits the machine, within the ranges of pyproject.toml.
"""
LEFT_OUT = re.compile(r"(mopar|pip|setuptools|wheel|torch|torchvision|triton|cuda-.*|nvidia-.*)$")


def main() -> None:
    """Write the file that the command line names."""
    found = {re.sub(r"[-_.]+", "-", item.name).lower(): item.version.partition("+")[0] for item in distributions()}
    lines = [f"{name}=={version}\n" for name, version in sorted(found.items()) if not LEFT_OUT.match(name)]
    Path(sys.argv[1]).write_text(HEADER + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
