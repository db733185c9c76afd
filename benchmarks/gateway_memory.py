"""Resident memory of the gateway's process by what it imports, after requests, and what was left out of it.

    python -m benchmarks.gateway_memory [--requests 200] [--starts 5] [--json FILE]

A process imports what the gateway does, in its order, and reads its resident memory from the kernel after each stage.
Further processes then import one of the things that the gateway does without. Last, a gateway as `mopar serve` starts
it answers requests of 600 KB to two functions that compute next to nothing. Resident memory counts shared pages in
full: anon is what the process wrote, file what it maps of files. CPU time is the gateway's own, per request.
"""

import ast
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.common import parser, say_where, spread, table, write_raw
from mopar.limits import resident_memory
from mopar.pipeline.bench.served import Server
from tests.bundle.plans import built
from tests.models.builder import Builder

FLOATS, WARM = 150_000, 20
MIB = 1 << 20
QUIET_S = 3.0
"""Longer than after which freed memory is returned."""

STAGES = {
    "interpreter": "",
    "asyncio without OpenSSL": "sys.modules.update(dict.fromkeys(('ssl', '_ssl', '_hashlib')))\nimport asyncio",
    "uvloop": "from mopar.cli.loop import uvloop_without_openssl; uvloop_without_openssl()",
    "msgspec, httptools": "import msgspec, httptools",
    "mopar's modules": "import mopar.cli.foreground",
    "what this machine runs functions with": "import mopar.platforms.local.platform",
    "library pages dropped": "from mopar.runtime.mapped import drop_library_pages; drop_library_pages()",
}
LEFT_OUT = {
    "OpenSSL (ssl)": "import ssl, hashlib",
    "numpy": "import numpy",
    "prometheus_client (with OpenSSL)": "import prometheus_client",
    "typer, rich": "import typer, rich.console, rich.table, rich.status",
    "what opens and packs bundles": "from mopar.bundle import open_bundle, prepare",
    "onnx": "import onnx",
}
ALLOWED = "for name in ('ssl', '_ssl', '_hashlib'): del sys.modules[name]\n"
"""Undoes that they cannot be imported."""
REPORT = """
import sys
seen = []
def stage():
    with open("/proc/self/status") as lines:
        rows = dict(line.split(":", 1) for line in lines)
    seen.append(tuple(int(rows[key].split()[0]) / 1024 for key in ("RssAnon", "RssFile")))
"""
Memory = tuple[float, float]
"""Anonymous and file-backed MiB."""


def stages(codes: list[str]) -> list[Memory]:
    """Resident memory of one process after each piece of code."""
    code = REPORT + "".join(f"{piece}\nstage()\n" for piece in codes) + "print(seen)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    found: list[Memory] = ast.literal_eval(done.stdout)
    return found


def left_out(name: str) -> Memory:
    """What one of LEFT_OUT would add to the gateway's imports."""
    *imports, _ = STAGES.values()
    before, after = stages([*imports, ALLOWED + LEFT_OUT[name]])[-2:]
    return after[0] - before[0], after[1] - before[1]


def large_bundle(folder: Path) -> Path:
    """A bundle of two functions that take 600 KB and compute next to nothing."""
    g = Builder("large")
    x = g.input("x", [FLOATS])
    g.add("Neg", g.add("Relu", x), output="y")
    g.output("y", [FLOATS])
    g.save(folder / "large.onnx")
    return folder / "large.onnx"


def cpu_ms(pid: int) -> float:
    """CPU time that all threads of a process have used, as the scheduler counts it."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(path.read_text().split()[0]) for path in tasks) / 1e6


def served(folder: Path, requests: int) -> tuple[list[Memory], float, float]:
    """A gateway's memory when ready, after requests and when quiet; its CPU ms per request; their median latency."""
    server = Server(built(large_bundle(folder), folder / "bundle", pieces=2))
    x = {"x": np.linspace(-1, 1, FLOATS, dtype=np.float32)}
    try:
        held = [_held(server.pid)]
        for _ in range(WARM):
            server.client.infer(x)
        before, taken_ms = cpu_ms(server.pid), []
        for _ in range(requests):
            started = time.perf_counter()
            server.client.infer(x)
            taken_ms.append((time.perf_counter() - started) * 1e3)
        used_ms = (cpu_ms(server.pid) - before) / requests
        held.append(_held(server.pid))
        time.sleep(QUIET_S)
        held.append(_held(server.pid))
    finally:
        server.stop()
    return held, used_ms, statistics.median(taken_ms)


def _held(pid: int) -> Memory:
    """Shared memory counts as file-backed: it is a file's pages that other processes have too."""
    held = resident_memory(pid)
    return held.anon / MIB, (held.file + held.shmem) / MIB


def _row(what: str, samples: list[Memory]) -> tuple[str, ...]:
    both, anon, file = [sum(one) for one in samples], [one[0] for one in samples], [one[1] for one in samples]
    return what, *(spread(kind).text(".1f") for kind in (both, anon, file))


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--requests", type=int, default=200, help="of 600 KB to each gateway (default: 200)")
    arguments.add_argument("--starts", type=int, default=5, help="of each process, interleaved (default: 5)")
    options = arguments.parse_args()
    say_where(None, "uvloop", "msgspec", "httptools", "prometheus-client", "typer", "rich", "onnx")
    imported: list[list[Memory]] = []
    added: dict[str, list[Memory]] = {name: [] for name in LEFT_OUT}
    gateways: list[list[Memory]] = []
    cpus_ms, latencies_ms = [], []
    for _ in range(options.starts):
        imported.append(stages(list(STAGES.values())))
        for name, samples in added.items():
            samples.append(left_out(name))
        with tempfile.TemporaryDirectory(prefix="mopar-gateway-") as folder:
            held, used_ms, latency_ms = served(Path(folder), options.requests)
        gateways.append(held)
        cpus_ms.append(used_ms)
        latencies_ms.append(latency_ms)
    columns = ("resident MiB", "of it anon", "of it file")
    rows = [_row(name, [start[at] for start in imported]) for at, name in enumerate(STAGES)]
    whens = ("gateway, ready", f"after {options.requests} requests", f"{QUIET_S:g} s later")
    rows += [_row(name, [start[at] for start in gateways]) for at, name in enumerate(whens)]
    table(("the gateway", *columns), rows)
    table(("left out: would add", *columns), [_row(name, samples) for name, samples in added.items()])
    print(
        f"CPU of the gateway: {spread(cpus_ms).text('.2f')} ms a request; latency {spread(latencies_ms).text('.2f')} ms"
    )
    print(f"{options.starts} starts each; p50 [p25, p75]")
    raw = {"imported": imported, "left_out": added, "gateway": gateways, "cpu_ms": cpus_ms, "latency_ms": latencies_ms}
    write_raw(options.json, "gateway_memory", raw)


if __name__ == "__main__":
    main()
