"""Cold start, warm calls and memory of a function on Lambda, by our own loop and by Lambda's runtime client.

    python -m benchmarks.lambda_start [--python PYTHON] [--memory 128,512,1769] [--starts N] [--calls N] [--json FILE]

Each way runs on Amazon's runtime interface emulator, which is outside of the limits of memory and CPU that a function
of that size has. ``client`` is ``awslambdaric`` with a thin handler (``benchmarks/lambda_client/handler.py``), ``loop``
is our own by the wrapper script, ``source`` is the loop without compiled files. PYTHON runs all of them: a Python 3.12,
as Lambda's, with ``pip install awslambdaric``. ``cold`` evicts Python, ONNX Runtime and the
function's files from the page cache first; ``warm`` does not. Calls carry 0.8 MB in and out.
"""

import json
import shlex
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from onnx import helper

from benchmarks.common import parser, say_where, spread, table, write_raw
from mopar.limits import Cgroups, detect_cgroups, evict_files
from mopar.platforms.aws_lambda.emulator import EmulatedFunction
from mopar.platforms.aws_lambda.function_package import FunctionPackage
from mopar.platforms.aws_lambda.messages import invoke_message
from mopar.platforms.aws_lambda.packages import BOOTSTRAP, PackageSettings, make_packages
from mopar.platforms.aws_lambda.runtime_files import handler_command
from mopar.platforms.aws_lambda.target import lambda_python
from mopar.types import TensorValue
from tests.bundle.plans import built
from tests.runtime.running import save

_MIB = 1 << 20
SIZE = 448
WAYS = ("client", "loop", "source")


@dataclass(frozen=True, slots=True)
class Measured:
    """One way at one size.

    Attributes:
        way: of ``WAYS``.
        memory_mib: bought.
        cold_ms, warm_ms: of each initialisation.
        first_ms: of each first call.
        call_ms: of each later one.
        peak_mib: of each start and its calls: the most that was charged, page cache included.
        held_mib: anonymous memory after the calls.
    """

    way: str
    memory_mib: int
    cold_ms: tuple[float, ...]
    warm_ms: tuple[float, ...]
    first_ms: tuple[float, ...]
    call_ms: tuple[float, ...]
    peak_mib: tuple[float, ...]
    held_mib: tuple[float, ...]


def package(folder: Path, python: Path) -> FunctionPackage:
    """A function that returns its 0.6 MiB of input, doubled; base64 makes 0.8 MB of them."""
    doubled = helper.make_node("Add", ["x", "x"], ["y"])
    ports = [("x", "float32", [1, 1, SIZE, SIZE - 96])], [("y", "float32", [1, 1, SIZE, SIZE - 96])]
    path = save(folder / "double.onnx", [doubled], *ports)
    bundle = built(path, folder / "bundle", 1)
    (made,) = make_packages(bundle, PackageSettings(python=python), folder / "packages", lambda _: None)
    return made


def commands(python: str) -> dict[str, Callable[[Path], list[str]]]:
    """How each way is started from a function's folder."""

    def by_wrapper(root: Path) -> list[str]:
        script = root / BOOTSTRAP
        script.write_text(f"#!/bin/sh\nexec {shlex.join(handler_command(python, str(root)))}\n")
        script.chmod(0o755)
        return [str(script), python, "/var/runtime/bootstrap"]

    def by_client(root: Path) -> list[str]:
        shutil.copy(Path(__file__).parent / "lambda_client" / "handler.py", root)
        return [python, "-m", "awslambdaric", "handler.fn"]

    def from_source(root: Path) -> list[str]:
        for cache in list(root.rglob("__pycache__")):
            shutil.rmtree(cache)
        return by_wrapper(root)

    return {"client": by_client, "loop": by_wrapper, "source": from_source}


def measure(
    made: FunctionPackage, way: str, python: str, memory_mib: int, starts: int, calls: int, cgroups: Cgroups
) -> Measured:
    """Start a function again and again, and call it."""
    cold: list[float] = []
    warm: list[float] = []
    first, later, peak, held = [], [], [], []
    value = np.random.default_rng(1).random((1, 1, SIZE, SIZE - 96), np.float32)
    message = invoke_message(_graph(made), [TensorValue("x", "float32", value.shape, value.tobytes())])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "f")
        function = EmulatedFunction(
            replace(made, memory_mib=memory_mib), folder, cgroups, command=commands(python)[way]
        )
        shared = _of_python(python)
        try:
            for number in range(2 * starts):
                is_cold = number % 2 == 0
                if is_cold:
                    evict_files([*_files(folder), *shared])
                answers = [function.invoke(message) for _ in range(calls + 1)]
                (cold if is_cold else warm).append(answers[0].init_ms)
                first.append(answers[0].duration_ms)
                later += [answer.duration_ms for answer in answers[1:]]
                assert function.cgroup is not None
                peak.append(function.cgroup.peak_bytes() / _MIB)
                held.append(function.cgroup.stat().unreclaimable / _MIB)
                function.stop()
        finally:
            function.stop()
    return Measured(way, memory_mib, tuple(cold), tuple(warm), tuple(first), tuple(later), tuple(peak), tuple(held))


def _graph(made: FunctionPackage) -> str:
    with zipfile.ZipFile(made.path) as archive:
        return str(json.loads(archive.read("function.json"))["graphs"][0]["id"])


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _of_python(python: str) -> list[Path]:
    """The interpreter and its libraries, of which Lambda's are cold at a first start, too."""
    code = "import sys, sysconfig; print(sys.executable, sysconfig.get_path('stdlib'), sysconfig.get_path('purelib'))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    program, *homes = done.stdout.split()
    return [Path(program).resolve(), *(file for home in homes for file in _files(Path(home)))]


def rows(found: Sequence[Measured]) -> list[list[str]]:
    """The table's."""
    return [
        [
            str(one.memory_mib),
            one.way,
            spread(one.cold_ms).text(".0f"),
            spread(one.warm_ms).text(".0f"),
            spread(one.first_ms).text(".1f"),
            spread(one.call_ms).text(".1f"),
            f"{max(one.peak_mib):.1f}",
            f"{spread(one.held_mib).p50:.1f}",
        ]
        for one in found
    ]


def main() -> None:
    """Measure each way at each size."""
    made = parser(__doc__)
    made.add_argument(
        "--python", help="that runs all ways: Lambda's version, with awslambdaric; default: which is found"
    )
    made.add_argument("--memory", default="128,512,1769", help="sizes in MiB")
    made.add_argument("--starts", type=int, default=5, help="cold ones, and as many warm ones, of each way and size")
    made.add_argument("--calls", type=int, default=10, help="after the first one of each start")
    options = made.parse_args()
    cgroups, python = detect_cgroups(), options.python or lambda_python()
    if cgroups is None or python is None:
        sys.exit("no cgroup can be written here, or there is no Python of Lambda's version")
    say_where(1)
    with tempfile.TemporaryDirectory() as name:
        one = package(Path(name), Path(python))
        found = [
            measure(one, way, python, int(size), options.starts, options.calls, cgroups)
            for size in options.memory.split(",")
            for way in WAYS
        ]
    print("Initialisation and calls in ms, median [quartiles]; memory in MiB.\n")
    columns = ["MiB", "way", "cold init", "warm init", "first call", "later calls", "peak", "held"]
    table(columns, rows(found))
    write_raw(options.json, "lambda_start", {"measured": found})


if __name__ == "__main__":
    main()
