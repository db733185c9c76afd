"""What a call costs on its way to a function: directly, through a platform's gateway, and wherever one is deployed.

    python -m benchmarks.platform_hops [--calls 200] [--hot] [--json FILE]
    python -m benchmarks.platform_hops --write echo/ ; mopar deploy echo/ --name echo --platform NAME ..
    python -m benchmarks.platform_hops --url http://GATEWAY/function/echo-f0 [--url ..]

A function that returns its input is called on a kept-alive connection with 1 KB, 150 KB and 3 MB both ways, the
addresses interleaved. Before each call, memory is written that fills any cache, as other functions do whose turn it
is: a call of a loop that does nothing else takes about half of the time (--hot). Without ``--url`` they are a
function of this machine, and the same one through the test suite's fake of OpenFaaS, whose proxy is written in
Python: its figures are an upper bound that shows the command at work, not OpenFaaS's. ``inside`` is the part that the
function itself counts, which is billed.
"""

import contextlib
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

import numpy as np
import uvloop

from benchmarks.common import parser, say_where, spread, table, write_raw
from mopar.bundle import Bundle, open_bundle
from mopar.bundle.call_plans import CallPlan, call_plans
from mopar.gateway.arrays import from_array
from mopar.platforms.books import load_limits
from mopar.platforms.http import HttpTransport
from mopar.platforms.openfaas.client import OpenFaasClient
from mopar.platforms.openfaas.wire import FunctionSpec, Resources
from mopar.platforms.rest import checked_url
from mopar.types import PlatformLimits
from tests.bundle.plans import built
from tests.models.builder import Builder
from tests.platforms.openfaas.fake import PASSWORD, USERNAME, openfaas
from tests.platforms.openfaas.images import FakeImages

FLOATS = {"1 KB": 250, "150 KB": 37_500, "3 MB": 750_000}
_MIB = 1 << 20
_WARM = 10
_OTHERS_BYTES = 128 << 20
_CALL_S = 30.0
_START_S = 30.0


@dataclass
class Samples:
    """Of one address and size, in ms."""

    latency_ms: list[float] = field(default_factory=list)
    inside_ms: list[float] = field(default_factory=list)


def echo_bundle(folder: Path) -> Bundle:
    """A bundle of one function that returns its input, of any length."""
    made = Builder("echo")
    made.add("Identity", made.input("x", ["n"]), output="y")
    made.output("y", ["n"])
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        made.save(Path(work) / "echo.onnx")
        return built(Path(work) / "echo.onnx", folder, 1)


@contextlib.contextmanager
def here(bundle: Bundle) -> Iterator[dict[str, str]]:
    """The function on this machine, directly and through the fake platform."""
    with tempfile.TemporaryDirectory() as work, openfaas(Path(work)) as fake:
        images = FakeImages(fake.registry).build(bundle, "echo", "here", lambda _stage: None)
        limits = Resources("400Mi", "1")
        OpenFaasClient(fake.url, USERNAME, PASSWORD).create(FunctionSpec("echo-f0", images["f0"], limits, limits))
        function = fake.functions["echo-f0"]
        function.await_start(_START_S)
        yield {"directly": function.url, "fake OpenFaaS": f"{fake.url}/function/echo-f0"}


async def measured(
    urls: Mapping[str, str], plan: CallPlan, calls: int, *, hot: bool = False
) -> dict[tuple[str, str], Samples]:
    """Samples of each address and size; ``hot`` where nothing happens between calls."""
    others = np.zeros(_OTHERS_BYTES, np.uint8)
    found = {(size, place): Samples() for size in FLOATS for place in urls}
    transports = {place: HttpTransport({"f0": [url]}) for place, url in urls.items()}
    for size, count in FLOATS.items():
        value = from_array("x", np.arange(count, dtype=np.float32))
        for number in range(calls + _WARM):
            for place, transport in transports.items():
                request = transport.open({"x": value}, 0)
                if not hot:
                    others += 1
                began = time.perf_counter()
                await request.run(plan, (), time.monotonic() + _CALL_S)
                took_ms = (time.perf_counter() - began) * 1e3
                assert bytes(request.value("y", "float32", ("y", plan.call.id)).data) == bytes(value.data)
                if number >= _WARM:
                    found[size, place].latency_ms.append(took_ms)
                    found[size, place].inside_ms.append(request.timings[0].held_ns / 1e6)
                request.close()
    for transport in transports.values():
        await transport.close()
    return found


def limits_here(calls: int) -> dict[str, PlatformLimits]:
    """Limits with what a call costs on this machine: of functions called directly, and through the fake platform.

    Measured with nothing between calls, since the planner adds the cold-cache penalty of functions that share a host.
    """
    with tempfile.TemporaryDirectory() as folder:
        bundle = echo_bundle(Path(folder) / "bundle")
        (plan,) = call_plans(bundle.manifest)
        with here(bundle) as urls:
            found = uvloop.run(measured(urls, plan, calls, hot=True))
    return {place: _fitted([found[size, place] for size in FLOATS]) for place in urls}


def _fitted(samples: Sequence[Samples]) -> PlatformLimits:
    """The line through the smallest and the largest body, and the shares of both that the function counts."""
    small, *_, large = [(median(one.latency_ms), median(one.inside_ms)) for one in samples]
    few, *_, many = [4 * count / _MIB for count in FLOATS.values()]
    per_mib = (large[0] - small[0]) / (2 * (many - few))
    return replace(
        load_limits("container-http"),
        hop_ms=small[0] - few * per_mib,
        hop_ms_per_mib=per_mib,
        hop_billed_share=small[1] / small[0],
        wire_billed_share=(large[1] - small[1]) / (large[0] - small[0]),
    )


def main() -> None:
    """Measure, or write the bundle."""
    options = parser(__doc__)
    options.add_argument("--calls", type=int, default=200)
    options.add_argument("--url", action="append", help="of a deployed function of the bundle that --write writes")
    options.add_argument("--write", type=Path, metavar="DIR", help="write the bundle and end")
    options.add_argument("--hot", action="store_true", help="call in a loop that does nothing else")
    given = options.parse_args()
    if given.write is not None:
        echo_bundle(given.write)
        return
    say_where(None, "httptools", "uvloop")
    with contextlib.ExitStack() as stack:
        bundle = echo_bundle(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "bundle")
        urls = {url: checked_url(url, "--url") for url in given.url} if given.url else stack.enter_context(here(bundle))
        (plan,) = call_plans(open_bundle(bundle.root).manifest)
        found = uvloop.run(measured(urls, plan, given.calls, hot=given.hot))
    rows = [
        (size, place, spread(samples.latency_ms).text(), spread(samples.inside_ms).text())
        for (size, place), samples in found.items()
    ]
    table(("body", "address", "ms", "inside, ms"), rows)
    write_raw(
        given.json, "platform_hops", {"samples": {f"{size}, {place}": kept for (size, place), kept in found.items()}}
    )


if __name__ == "__main__":
    main()
