"""Tensors from outside: the latency of a request by size, and by how its tensors get to the gateway.

    python -m benchmarks.shared_memory [--requests 300] [--json FILE]

A model in two slices looks at the first 256 numbers of its input, of whatever length, so that all that grows with the
input is the way of its tensors. Triton's own client sends it as JSON (up to 150 KB), as binary data, as binary data
that are compressed, and in a shared memory region, where the output is put too. All are interleaved. Goal: 3 MB
through shared memory take at most 1.2 times as long as 3 KB.
"""

import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.http as triton
import tritonclient.utils.shared_memory as shm

from benchmarks.common import met, parser, say_where, spread, table, write_raw
from mopar.pipeline.bench.served import Server, orders
from tests.bundle.plans import built
from tests.models.builder import Builder

FLOATS = {"3 KB": 768, "150 KB": 38_400, "3 MB": 786_432}
JSON, BINARY, PACKED, SHARED = "JSON", "binary", "binary, gzip", "shared memory"
LONGEST = {JSON: 38_400, PACKED: 38_400}
GOAL = 1.2
_SEEN = 256
_WARM = 20

Send = Callable[[], None]


def main() -> None:
    """Measure all ways and sizes."""
    made = parser(__doc__)
    made.add_argument("--requests", type=int, default=300, metavar="N")
    arguments = made.parse_args()
    say_where(0)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        server = Server(built(model(Path(folder)), Path(folder) / "bundle", 2))
        stack.callback(server.stop)
        address, _, name = server.client.url.removeprefix("http://").partition("/v2/models/")
        client = triton.InferenceServerClient(address)
        stack.callback(client.close)
        (known,) = client.get_model_repository_index()
        ways = {
            (size, way): send
            for size, floats in FLOATS.items()
            for way, send in stack.enter_context(ways_of(client, name or known["name"], floats)).items()
        }
        samples = interleaved(ways, arguments.requests)
    rows = [
        (way, *(spread(samples[size, way]).text(".2f") if (size, way) in samples else "" for size in FLOATS))
        for way in (JSON, BINARY, PACKED, SHARED)
    ]
    print("Latency of a request, ms: median [quartiles]")
    table(("tensors as", *FLOATS), rows)
    small, *_, large = (statistics.median(samples[size, SHARED]) for size in FLOATS)
    print(f"3 MB through shared memory: {large / small:.2f}x of 3 KB (goal {GOAL}x): {met(large / small <= GOAL)}")
    write_raw(arguments.json, "shared_memory", {f"{size}, {way}": kept for (size, way), kept in samples.items()})


def model(folder: Path) -> Path:
    """A model that sums the first numbers of its input."""
    g = Builder("first")
    x = g.input("x", ["n"])
    head = g.add("Slice", x, g.ints(0), g.ints(_SEEN))
    for _ in range(3):
        head = g.add("Neg", head)
    g.add("Neg", head, output="y")
    g.output("y", [_SEEN])
    path = folder / "first.onnx"
    g.save(path)
    return path


@contextlib.contextmanager
def ways_of(client: Any, name: str, floats: int) -> Iterator[dict[str, Send]]:
    """What sends a request of that size in each way, and checks the answer."""
    values = np.linspace(-1, 1, floats, dtype=np.float32)
    want = values[:_SEEN]
    found: dict[str, Send] = {}
    for way, coding in ((JSON, None), (BINARY, None), (PACKED, "gzip")):
        if floats <= LONGEST.get(way, floats):
            found[way] = _by_body(client, name, values, way != JSON, coding)
    key = f"mopar-benchmark-{os.getpid()}-{floats}"
    region = shm.create_shared_memory_region(key, key, values.nbytes + 4 * _SEEN)
    try:
        shm.set_shared_memory_region(region, [values])
        client.register_system_shared_memory(key, key, values.nbytes + 4 * _SEEN)
        given, asked = triton.InferInput("x", [floats], "FP32"), triton.InferRequestedOutput("y")
        given.set_shared_memory(key, values.nbytes)
        asked.set_shared_memory(key, 4 * _SEEN, offset=values.nbytes)

        def send() -> None:
            client.infer(name, [given], outputs=[asked])
            assert np.array_equal(shm.get_contents_as_numpy(region, np.float32, [_SEEN], offset=values.nbytes), want)

        found[SHARED] = send
        yield found
    finally:
        client.unregister_system_shared_memory(key)
        shm.destroy_shared_memory_region(region)


def _by_body(client: Any, name: str, values: Any, binary: bool, coding: str | None) -> Send:
    def send() -> None:
        given, asked = triton.InferInput("x", list(values.shape), "FP32"), triton.InferRequestedOutput("y", binary)
        given.set_data_from_numpy(values, binary_data=binary)
        answer = client.infer(name, [given], outputs=[asked], request_compression_algorithm=coding)
        assert np.allclose(answer.as_numpy("y"), values[:_SEEN])

    return send


def interleaved(ways: dict[tuple[str, str], Send], requests: int) -> dict[tuple[str, str], list[float]]:
    """A request in each way per round, in changing order; ms."""
    taken: dict[tuple[str, str], list[float]] = {key: [] for key in ways}
    keys = list(ways)
    for number, order in enumerate(orders(len(keys), requests + _WARM)):
        for place in order:
            began = time.perf_counter()
            ways[keys[place]]()
            if number >= _WARM:
                taken[keys[place]].append((time.perf_counter() - began) * 1e3)
    return taken


if __name__ == "__main__":
    main()
