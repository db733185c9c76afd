"""What an entry function on Lambda adds to a request, by the memory that is bought for it.

    python -m benchmarks.lambda_entry [--memory 128,256,512,1024,1769] [--elements 150000] [--calls N] [--json FILE]

Three functions of 1,769 MB, one after the other, each of which returns a tensor of ``--elements`` float32 numbers
doubled (150,000 are 0.6 MB, 0.8 in base64), and an entry function that calls them, run on Amazon's runtime interface
emulator under the limits of memory and CPU that each size buys. ``request`` is what is billed for a call of the entry,
``adds`` is that less what is billed for the three calls, and ``first`` the first request, with all initialisations. On
Lambda itself TLS and signatures come on top. ``usd`` is the price of the entry alone, for a million requests.
"""

import http.client
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import numpy as np
from onnx import helper

from benchmarks.common import parser, say_where, spread, table, write_raw
from mopar.bundle import Bundle, build, open_bundle
from mopar.graph import load_model
from mopar.limits import detect_cgroups
from mopar.platforms.aws_lambda.emulated import TRANSPORT
from mopar.platforms.aws_lambda.entry import entry_package
from mopar.platforms.aws_lambda.naming import ENTRY
from mopar.platforms.aws_lambda.options import LambdaOptions
from mopar.platforms.aws_lambda.platform import PLATFORM
from mopar.platforms.books import load_book, run_by
from mopar.platforms.gateways import BackgroundGateways
from tests.bundle.plans import chain, some_cuts
from tests.runtime.running import save

FUNCTIONS, FUNCTION_MIB = 3, 1769
_NAME = "lambda-entry"
_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Measured:
    """An entry function of one size.

    Attributes:
        memory_mib: bought.
        first_ms: of the first request.
        request_ms: of each other one.
        adds_ms: of that, what is not the functions'.
        held_mib: anonymous memory after the requests.
    """

    memory_mib: int
    first_ms: float
    request_ms: tuple[float, ...]
    adds_ms: tuple[float, ...]
    held_mib: float

    @property
    def usd(self) -> float:
        """Of the entry function, for a million requests."""
        by = run_by(load_book("aws-lambda-x86"), ENTRY).orchestrator
        assert by is not None
        return (by.request_usd + self.memory_mib / 1024 * spread(self.request_ms).p50 / 1e3 * by.gib_s_usd) * 1e6


def bundle_of(folder: Path, elements: int) -> Bundle:
    """A model of three layers that double, each a function."""
    names = ["x", "a", "b", "y"]
    nodes = [helper.make_node("Add", [before, before], [after]) for before, after in pairwise(names)]
    path = save(folder / "double.onnx", nodes, [("x", "float32", [1, elements])], [("y", "float32", [1, elements])])
    model = load_model(path)
    build(model, chain(model, some_cuts(model, FUNCTIONS - 1), FUNCTION_MIB), folder / "bundle")
    return open_bundle(folder / "bundle")


def measure(bundle: Bundle, memory_mib: int, elements: int, calls: int) -> Measured:
    """Call an entry function of a size."""
    options = LambdaOptions(emulate=True, orchestration="entry", entry_mib=memory_mib, timeout_s=60)
    deployed = PLATFORM.deploy(bundle, _NAME, options, lambda _: None)
    try:
        assert deployed.gateway is not None
        data = np.random.default_rng(1).random((1, elements), np.float32).tobytes()
        billed = [_billed_ms(deployed.gateway.url, data, elements) for _ in range(calls + 1)]
        held_mib = _held_mib(BackgroundGateways(TRANSPORT).files(_NAME))
    finally:
        PLATFORM.remove(_NAME, options, lambda _: None)
    request = [one[ENTRY] for one in billed]
    adds = [2 * one[ENTRY] - sum(one.values()) for one in billed]
    return Measured(memory_mib, request[0], tuple(request[1:]), tuple(adds[1:]), held_mib)


def _billed_ms(url: str, data: bytes, elements: int) -> Mapping[str, float]:
    """What is billed for each function of one request."""
    header = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, elements]}], "parameters": {}}
    header["inputs"][0]["parameters"] = {"binary_data_size": len(data)}  # type: ignore[index]
    head = msgspec.json.encode(header)
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_TIMEOUT_S)
    try:
        headers = {"Inference-Header-Content-Length": str(len(head))}
        connection.request("POST", f"{urlsplit(url).path}/infer", head + data, headers)
        answer = connection.getresponse()
        text = answer.read(500)
        assert answer.status == 200, text
        parts = [part.split(";dur=") for part in answer.headers["Server-Timing"].split(", ") if "-billed;" in part]
    finally:
        connection.close()
    return {name.removesuffix("-billed"): float(ms) for name, ms in parts}


def _held_mib(files: Path) -> float:
    """Anonymous memory of the entry function's process."""
    (config,) = files.glob(f"*/{ENTRY}/task/function.json")
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and (process / "cmdline").exists():
            words = (process / "cmdline").read_bytes().split(b"\0")
            if words[-2:-1] == [os.fsencode(config)] and b"python" in words[0]:
                status = (process / "status").read_text()
                return int(status.partition("RssAnon:")[2].split()[0]) / 1024
    return 0.0


def rows(found: Sequence[Measured]) -> list[list[str]]:
    """The table's."""
    return [
        [
            str(one.memory_mib),
            f"{one.first_ms:.0f}",
            spread(one.request_ms).text(".1f"),
            spread(one.adds_ms).text(".1f"),
            f"{one.held_mib:.1f}",
            f"{one.usd:.2f}",
        ]
        for one in found
    ]


def main() -> None:
    """Measure each size."""
    made = parser(__doc__)
    made.add_argument("--memory", default="128,256,512,1024,1769", help="sizes in MiB")
    made.add_argument("--elements", type=int, default=150_000, help="of each tensor")
    made.add_argument("--calls", type=int, default=20, help="after the first one")
    options = made.parse_args()
    if detect_cgroups() is None:
        sys.exit("no cgroup can be written here")
    say_where(1)
    with tempfile.TemporaryDirectory() as name:
        bundle = bundle_of(Path(name), options.elements)
        sizes = [int(size) for size in options.memory.split(",")]
        package = entry_package(bundle, "x86_64", sizes[0], Path(name) / "package", emulated=False)
        found = [measure(bundle, size, options.elements, options.calls) for size in sizes]
    print(f"The package of an entry function for Lambda has {package.unpacked_bytes / 1e6:.1f} MB unzipped.")
    print("Requests in ms, median [quartiles]; memory in MiB.\n")
    table(["MiB", "first", "request", "adds", "held", "usd"], rows(found))
    write_raw(options.json, "lambda_entry", {"package_bytes": package.unpacked_bytes, "measured": found})


if __name__ == "__main__":
    main()
