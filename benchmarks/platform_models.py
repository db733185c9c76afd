"""Whole models on platforms that run here: as processes, in containers, and through OpenFaaS's protocol.

    python -m benchmarks.platform_models [--models resnet50,minilm,vgg16] [--requests 60] [--engine NAME]
                                         [--runtime NAME] [--network bridge|host] [--json FILE]

Mopar's plan for each platform and the unsplit one, both with processes, with containers that share memory, with
containers over HTTP, and through the test suite's fake of OpenFaaS, which runs processes behind a proxy written in
Python: latency, and billed time times memory, predicted beside measured; and memory as each container's cgroup counts
it after the last request. Requests to the two plans of a way are interleaved. What a call over HTTP and one through
the fake costs is measured before, and both are planned with it. Goals: equal answers, and latency within 10% of the
prediction.
"""

import argparse
import contextlib
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.common import met, parser, say_where, spread, table, write_raw
from benchmarks.deployed import (
    HTTP,
    PROCESSES,
    SOCKET,
    Taken,
    Target,
    deployed,
    engine_of,
    functions_of,
    interleaved,
    options_of,
    served,
    with_engine,
)
from benchmarks.platform_hops import limits_here
from mopar.bundle import Bundle, build, open_bundle, prepare
from mopar.files import cache_directory
from mopar.gateway.client import Client
from mopar.limits import detect_cgroups
from mopar.limits.mounts import UNIFIED, hierarchies
from mopar.pipeline.profile import measure_model
from mopar.pipeline.reference import ReferenceModel
from mopar.planning import plan, plan_unsplit
from mopar.platforms.books import load_book, load_limits
from mopar.platforms.container.engine import Engine
from mopar.platforms.container.options import ContainerOptions
from mopar.platforms.openfaas.options import OpenFaasOptions
from mopar.platforms.openfaas.platform import OpenFaas
from mopar.types import Plan, PlatformLimits, Profile
from tests.models import materialise, sample_inputs
from tests.platforms.openfaas.fake import PASSWORD, openfaas
from tests.platforms.openfaas.images import FakeImages

FAKE = "fake OpenFaaS"
WAYS = (PROCESSES, SOCKET, HTTP, FAKE)
GOAL = 0.10
_HOP_CALLS = 100
_MIB, _GIB_IN_MIB = 1 << 20, 1024


@dataclass(frozen=True, slots=True)
class Served:
    """A bundle and how it is served.

    Attributes:
        label: ``mopar`` or ``unsplit``.
        way: one of WAYS.
        bundle: with the plan for that way.
    """

    label: str
    way: str
    bundle: Bundle

    def name(self, model: str) -> str:
        """Of its deployment."""
        return f"{self.label}-{model}-{WAYS.index(self.way)}"

    @property
    def plan(self) -> Plan:
        """The bundle's."""
        return self.bundle.manifest.plan


def main() -> None:
    """Measure all models."""
    made = parser(__doc__)
    made.add_argument("--models", default="resnet50,minilm,vgg16", metavar="NAMES")
    made.add_argument("--requests", type=int, default=60, metavar="N")
    arguments = with_engine(made).parse_args()
    say_where(0)
    costs = limits_here(_HOP_CALLS)
    print("What a call adds on its way, ms, and ms for each MiB and direction")
    table(
        ("way", "ms", "ms/MiB"), [(way, f"{one.hop_ms:.2f}", f"{one.hop_ms_per_mib:.2f}") for way, one in costs.items()]
    )
    host = load_limits("container")
    limits = {PROCESSES: host, SOCKET: host, HTTP: costs["directly"], FAKE: costs[FAKE]}
    raw: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in filter(None, arguments.models.split(",")):
            raw[name] = whole(name, Path(scratch), limits, arguments)
    write_raw(arguments.json, "platform_models", raw)


def whole(
    name: str, home: Path, limits: Mapping[str, PlatformLimits], arguments: argparse.Namespace
) -> dict[str, object]:
    """Prints a model split and unsplit in all ways; returns the samples."""
    inputs, options = sample_inputs(name), options_of(arguments)
    want = ReferenceModel(materialise(name)).infer(inputs)
    rows, kept = [], {}
    for pair in bundles_of(name, home, limits):
        with contextlib.ExitStack() as stack:
            targets = [
                Target(one.label, one.way, stack.enter_context(opened(one, name, home, options))) for one in pair
            ]
            taken = interleaved(targets, inputs, arguments.requests, want)
            for one in pair:
                samples = taken[one.label, one.way]
                rows.append(_row(one, samples, _counted_mib(engine_of(options), one.name(name))))
                kept[f"{one.label}, {one.way}"] = samples.latency_ms
    print(f"{name}: medians [quartiles] of {arguments.requests} requests")
    table(("plan", "as", "functions", "ms", "predicted", "10%", "GB-s", "predicted", "MiB in cgroups", "equal"), rows)
    return dict(kept)


def bundles_of(name: str, home: Path, limits: Mapping[str, PlatformLimits]) -> Iterator[list[Served]]:
    """Mopar's plan and the unsplit one, for each way."""
    request = home / f"{name}.npz"
    np.savez(request, allow_pickle=False, **sample_inputs(name))
    model, profile = measure_model(materialise(name), inputs=request)
    for way, costs in limits.items():
        pair = []
        for label, made in (("mopar", _split(profile, costs)), ("unsplit", _unsplit(profile, costs))):
            folder = home / f"{name}-{label}-{WAYS.index(way)}"
            build(model, made, folder)
            pair.append(Served(label, way, prepare(open_bundle(folder), cache_directory())))
        yield pair


@contextlib.contextmanager
def opened(one: Served, model: str, home: Path, options: ContainerOptions) -> Iterator[Client]:
    """A client of a bundle that is served in its way."""
    name = one.name(model)
    if one.way != FAKE:
        with served(one.bundle, one.way, options, name) as client:
            yield client
        return
    folder = home / name
    folder.mkdir()
    password = folder / "password"
    password.write_text(f"{PASSWORD}\n")
    with openfaas(folder / "platform", detect_cgroups()) as fake:
        images = FakeImages(fake.registry)
        chosen = OpenFaasOptions(gateway=fake.url, password_file=password, registry="registry.local:5000/models")
        with deployed(OpenFaas(lambda _options: images), one.bundle, chosen, name) as client:
            yield client


def _split(profile: Profile, limits: PlatformLimits) -> Plan:
    return plan(profile, load_book(limits.prices), limits)


def _unsplit(profile: Profile, limits: PlatformLimits) -> Plan:
    return plan_unsplit(profile, load_book(limits.prices), limits)


def _row(one: Served, samples: Taken, counted: Sequence[float]) -> tuple[str, ...]:
    predicted, measured = one.plan.predicted, statistics.median(samples.latency_ms)
    off = measured / predicted.latency_ms - 1
    return (
        one.label,
        one.way,
        str(len(one.plan.functions)),
        spread(samples.latency_ms).text(".1f"),
        f"{predicted.latency_ms:.1f}",
        f"{off:+.1%} {met(abs(off) <= GOAL)}",
        f"{_gb_s(one.plan, samples):.3g}",
        f"{predicted.gb_s_per_request:.3g}",
        ", ".join(f"{mib:.0f}" for mib in counted),
        "yes" if samples.equal else "NO",
    )


def _gb_s(planned: Plan, samples: Taken) -> float:
    """Median billed time times limit, over all functions."""
    limits = {function.name: function.memory_mib / _GIB_IN_MIB for function in planned.functions}
    return sum(statistics.median(held) / 1e3 * limits[name] for name, held in samples.held_ms.items())


def _counted_mib(engine: Engine, deployment: str) -> list[float]:
    """What the cgroup of each function's container has charged, page cache included."""
    return [_charged(one.pid) / _MIB for one in functions_of(engine, deployment)]


def _charged(pid: int) -> int:
    found = hierarchies(pid=pid)
    if "memory" in found:
        return int((found["memory"].own / "memory.usage_in_bytes").read_text())
    return int((found[UNIFIED].own / "memory.current").read_text())


if __name__ == "__main__":
    main()
