"""Bundles served in several ways side by side, and requests to all of them in turn."""

import argparse
import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mopar.bundle import Bundle, compare_all
from mopar.gateway.client import Client
from mopar.pipeline.bench.served import Server, orders
from mopar.platforms.container.command import Commands
from mopar.platforms.container.engine import Container, Engine
from mopar.platforms.container.labels import FUNCTION, labels_of
from mopar.platforms.container.options import ContainerOptions
from mopar.platforms.container.platform import PLATFORM
from mopar.platforms.deploying import AnyPlatform

Arrays = dict[str, NDArray[np.generic]]
WARM = 20
PROCESSES, SOCKET, HTTP = "processes", "containers, socket", "containers, http"
WAYS = (PROCESSES, SOCKET, HTTP)


@dataclass(frozen=True, slots=True)
class Target:
    """A bundle that is served in one way."""

    label: str
    way: str
    client: Client


def with_engine(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """``--engine``, ``--runtime`` and ``--network`` too, as ``mopar deploy --platform container`` takes them."""
    parser.add_argument("--engine", metavar="NAME")
    parser.add_argument("--runtime", metavar="NAME")
    parser.add_argument("--network", default="bridge", metavar="NAME")
    return parser


def options_of(arguments: argparse.Namespace) -> ContainerOptions:
    """Of deployments to containers, by these arguments."""
    return ContainerOptions(engine=arguments.engine, runtime=arguments.runtime, network=arguments.network)


@contextlib.contextmanager
def served(bundle: Bundle, way: str, options: ContainerOptions, name: str) -> Iterator[Client]:
    """A client of a bundle that is served in one of WAYS."""
    if way == "processes":
        server = Server(bundle)
        try:
            yield server.client
        finally:
            server.stop()
        return
    with deployed(PLATFORM, bundle, replace(options, transport=way.rpartition(" ")[2]), name) as client:
        yield client


@contextlib.contextmanager
def deployed(platform: AnyPlatform, bundle: Bundle, options: object, name: str) -> Iterator[Client]:
    """A client of a bundle that is deployed to a platform, and removed afterwards."""
    found = platform.deploy(bundle, name, options, lambda _stage: None)
    assert found.gateway is not None, "it was deployed"
    try:
        with Client(found.gateway.url) as client:
            yield client
    finally:
        platform.remove(name, options, lambda _stage: None)


@dataclass(slots=True)
class Taken:
    """Samples of one target in ms; ``held_ms`` by function."""

    latency_ms: list[float]
    engine_ms: list[float]
    held_ms: dict[str, list[float]]
    equal: bool = True

    @property
    def added_ms(self) -> list[float]:
        """Latency without the engine's time."""
        return [latency - engine for latency, engine in zip(self.latency_ms, self.engine_ms, strict=True)]


def interleaved(
    targets: Sequence[Target], inputs: Arrays, requests: int, want: Mapping[str, NDArray[np.generic]] | None = None
) -> dict[tuple[str, str], Taken]:
    """A request to each target per round, in changing order."""
    taken = {(target.label, target.way): Taken([], [], {}) for target in targets}
    for target in targets:
        for _ in range(WARM):
            target.client.infer(inputs)
    for order in orders(len(targets), requests):
        for place in order:
            target = targets[place]
            began = time.perf_counter()
            got = target.client.infer(inputs)
            found = taken[target.label, target.way]
            found.latency_ms.append((time.perf_counter() - began) * 1e3)
            found.engine_ms.append(sum(parts["engine"] for parts in target.client.timings.values()))
            for function, parts in target.client.timings.items():
                found.held_ms.setdefault(function, []).append(parts["held"])
            if want is not None:
                found.equal = found.equal and all(one.equal for one in compare_all(got, want))
    return taken


def engine_of(options: ContainerOptions) -> Engine:
    """The engine that the options name."""
    return Engine(Commands(options.engine, options.runtime))


def functions_of(engine: Engine, deployment: str) -> list[Container]:
    """The containers of a deployment's functions."""
    return [one for one in engine.containers(labels_of(deployment)) if FUNCTION in one.labels]
