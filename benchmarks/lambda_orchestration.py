"""What runs a plan on AWS, by its price: the orchestration's own dollars for a million requests.

    python -m benchmarks.lambda_orchestration [--calls 3] [--ms 300] [--tensors 4] [--json FILE]

Arithmetic on list prices (those of the price book, and of what is not offered), nothing is measured: a request of
``--calls`` calls one after the other that takes ``--ms``, with ``--tensors`` tensors that are too large for a message
of the orchestrator's, its input and output among them. The functions' own price comes on top and is the same for all.
"""

import math
from dataclasses import dataclass

from benchmarks.common import parser, table, write_raw
from mopar.platforms.books import load_book, run_by

_MILLION = 1e6
STANDARD_USD = 25.0
"""For a million state transitions: https://aws.amazon.com/step-functions/pricing/."""
DURABLE_USD, DURABLE_GB_USD = 8.0, 0.25
"""For a million durable operations, and a GB written: https://aws.amazon.com/lambda/pricing/, read 2026-09-20."""
POINTER_GB = 1e-6
REPLAY_MS, DURABLE_MB = 20, 256
"""An invocation that replays a durable function's log: a guess on the low side, of a Python process with its SDK."""
ENTRY_MB = (128, 512, 1769)


@dataclass(frozen=True, slots=True)
class Request:
    """Calls one after the other, the time of all, and tensors that become objects where messages are small."""

    calls: int
    ms: float
    tensors: int


def prices(request: Request) -> list[tuple[str, float, float]]:
    """Name, dollars for a million requests of the orchestrator itself, and of S3."""
    book = load_book("aws-lambda-x86")
    by = run_by(book, "step-functions").orchestrator
    assert by is not None
    gb_s_usd, call_usd = book.gib_s_usd * _MILLION, book.request_usd * _MILLION
    billed_ms = math.ceil(request.ms / by.billing_unit_ms) * by.billing_unit_ms
    express = (by.request_usd + billed_ms * by.usd_per_ms) * _MILLION
    # A task and a choice for each call, and four states around them.
    standard = (2 * request.calls + 4) * STANDARD_USD
    replayed = (request.calls + 1) * (call_usd + DURABLE_MB / 1024 * REPLAY_MS / 1e3 * gb_s_usd)
    durable = (request.calls + 1) * DURABLE_USD + request.tensors * POINTER_GB * DURABLE_GB_USD * _MILLION + replayed
    # Each large tensor is put once and read once.
    stored = request.tensors * (book.put_usd + book.get_usd) * _MILLION
    return [
        ("gateway (a process of your own)", 0.0, 0.0),
        ("Step Functions Express", express, stored),
        ("Step Functions Standard", standard, stored),
        ("durable function", durable, stored),
        *(
            (f"entry function, {memory} MB", call_usd + memory / 1024 * request.ms / 1e3 * gb_s_usd, 0.0)
            for memory in ENTRY_MB
        ),
    ]


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--calls", type=int, default=3)
    made.add_argument("--ms", type=float, default=300.0)
    made.add_argument("--tensors", type=int, default=4)
    arguments = made.parse_args()
    request = Request(arguments.calls, arguments.ms, arguments.tensors)
    found = prices(request)
    rows = [(name, f"{own:.2f}", f"{stored:.2f}", f"{own + stored:.2f}") for name, own, stored in found]
    print(f"{request.calls} calls, {request.ms:g} ms, {request.tensors} large tensors: USD for a million requests\n")
    table(("orchestrator", "itself", "S3", "both"), rows)
    write_raw(arguments.json, "lambda_orchestration", {"request": request, "prices": found})


if __name__ == "__main__":
    main()
