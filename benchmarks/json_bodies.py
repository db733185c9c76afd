"""Time to decode and encode tensors as JSON, and how long the event loop waits meanwhile.

    python -m benchmarks.json_bodies [--rounds 5] [--json FILE]

Bodies of usual shapes, and bodies of a hostile client, which are refused. Each is decoded alone, and then in a thread,
as the gateway does with large ones, beside a thread that sleeps for 0.5 ms again and again: what it oversleeps is what
the event loop would wait for the interpreter's lock. Of the rounds, which take turns, the quickest counts, but the
longest wait.
"""

import json
import random
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.attack_requests import large_json
from benchmarks.common import parser, say_where, table, write_raw
from mopar.cli.foreground import SWITCH_S
from mopar.gateway.http.decode import Inference, decode
from mopar.gateway.http.encode import encode
from mopar.types import RequestError, TensorSpec, dtype_of_oip

SEED, NAP_S, MOST_JSON_BYTES = 0, 0.0005, 8 << 20


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body, and the element type of the input that it is for."""

    text: bytes
    dtype: str

    def decoded(self) -> Inference | None:
        """The request; None where it is refused."""
        specs = [TensorSpec("x", self.dtype, None)]
        try:
            return decode(memoryview(self.text), None, specs, specs)
        except RequestError:
            return None


def bodies() -> Iterator[tuple[str, Body]]:
    """Bodies by name."""
    draw, some = random.Random(SEED), np.random.default_rng(SEED)
    floats = some.standard_normal(384_000).astype(np.float32)
    yield "3,000 floats", _body("FP32", floats[:3000])
    yield "33,000 floats", _body("FP32", floats[:33_000])
    yield "380,000 floats", _body("FP32", floats[:380_000])
    yield "rows of 224 floats", _body("FP32", floats[: 224 * 1500].reshape(1500, 224))
    yield "rows of 3 floats", _body("FP32", floats[:300_000].reshape(100_000, 3))
    yield "1,000,000 bytes", _body("UINT8", some.integers(0, 256, 1_000_000))
    yield "300,000 strings", _body("BYTES", np.array([f"word {draw.randrange(999)}" for _ in range(300_000)]))
    for name, text in large_json(MOST_JSON_BYTES).items():
        yield f"refused: {name}", Body(text, "float32")


def _body(datatype: str, values: "np.ndarray[Any, Any]") -> Body:
    tensor = {"name": "x", "datatype": datatype, "shape": values.shape, "data": values.tolist()}
    return Body(json.dumps({"inputs": [tensor]}).encode(), dtype_of_oip(datatype).name)


def waited_ms(body: Body) -> float:
    """The longest time that a thread overslept while another decoded a body."""
    thread = threading.Thread(target=body.decoded)
    longest_s = 0.0
    thread.start()
    while thread.is_alive():
        asleep = time.perf_counter()
        time.sleep(NAP_S)
        longest_s = max(longest_s, time.perf_counter() - asleep - NAP_S)
    return longest_s * 1e3


def measured(body: Body) -> tuple[float, float | None, float]:
    """Time to decode a body and to encode its tensor again, None for one that is refused, and the wait; in ms."""
    started = time.perf_counter()
    found = body.decoded()
    decoded_ms = (time.perf_counter() - started) * 1e3
    encoded_ms = None
    if found is not None:
        started = time.perf_counter()
        encode("model", found, list(found.inputs.values()))
        encoded_ms = (time.perf_counter() - started) * 1e3
    return decoded_ms, encoded_ms, waited_ms(body)


def _least(samples: Sequence[float | None]) -> str:
    known = [sample for sample in samples if sample is not None]
    return f"{min(known):.2f}" if known else ""


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=5, help="of all bodies (default: 5)")
    options = arguments.parse_args()
    say_where(SEED, "msgspec")
    sys.setswitchinterval(SWITCH_S)  # as the gateway sets it
    given = dict(bodies())
    raw: dict[str, list[tuple[float, float | None, float]]] = {name: [] for name in given}
    for _ in range(options.rounds):
        for name, body in given.items():
            raw[name].append(measured(body))
    rows = []
    for name, samples in raw.items():
        decoded, encoded, waited = zip(*samples, strict=True)
        size = f"{len(given[name].text) / 1e6:.2f}"
        rows.append((name, size, _least(decoded), _least(encoded), f"{max(waited):.1f}"))
    table(("body", "MB", "decoding ms", "encoding ms", "longest wait ms"), rows)
    write_raw(options.json, "json_bodies", {"seed": SEED, "samples_ms": raw})


if __name__ == "__main__":
    main()
