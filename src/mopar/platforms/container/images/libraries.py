"""The shared libraries that programs and modules are linked with, as this machine's own loader finds them."""

import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

from mopar.types import PlatformError

_PROGRAM_HEADERS = struct.Struct("<Q")
_SIZES = struct.Struct("<HH")
_HEADER = struct.Struct("<IIQQQQQQ")
_INTERPRETER = 3
_TIMEOUT_S = 20.0
_WITHOUT = "or have an image with Python built upon: --base-image python:3-slim"


def loader_of(program: Path) -> Path:
    """The loader that an ELF program names. Raises PlatformError where it names none."""
    with program.open("rb") as file:
        head = file.read(64)
        if not head.startswith(b"\x7fELF\x02\x01"):
            raise PlatformError(f"{program} is no 64-bit ELF program: use a Python for Linux, {_WITHOUT}")
        (offset,) = _PROGRAM_HEADERS.unpack_from(head, 32)
        size, count = _SIZES.unpack_from(head, 54)
        for index in range(count):
            file.seek(offset + index * size)
            kind, _, start, _, _, length, _, _ = _HEADER.unpack(file.read(_HEADER.size))
            if kind == _INTERPRETER:
                file.seek(start)
                return Path(file.read(length).rstrip(b"\0").decode())
    raise PlatformError(f"{program} is linked statically: use a Python that loads libraries, {_WITHOUT}")


def libraries_of(files: Sequence[Path], loader: Path) -> dict[str, Path]:
    """The libraries that files need, by the names by which they ask for them; those of their libraries too.

    Raises:
        PlatformError: one is missing; names the file that needs it.
    """
    found: dict[str, Path] = {}
    for file in files:
        command = [str(loader), "--list", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        if done.returncode and "statically linked" not in done.stdout + done.stderr:
            raise PlatformError(f"{file}: its libraries cannot be listed: {done.stderr.strip() or 'no reason given'}")
        for line in done.stdout.splitlines():
            name, arrow, rest = line.strip().partition(" => ")
            if not arrow:
                continue  # the loader itself, or what the kernel provides
            path = rest.rpartition(" (")[0]
            if not path:
                raise PlatformError(f"{file} needs {name}, which is not there: install it, {_WITHOUT}")
            found.setdefault(name, Path(path))
    found.pop(loader.name, None)
    return found
