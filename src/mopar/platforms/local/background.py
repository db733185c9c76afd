"""Deployments on this machine that outlive the command: a gateway in the background, with its functions."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from mopar.bundle import Bundle
from mopar.platforms.deploying import Tell
from mopar.platforms.gateways import BackgroundGateways, GatewayRecord
from mopar.platforms.health import answers
from mopar.types import MoparError, PlatformError, UsageError
from mopar.types.deployed import Deployed, DeployedFunction, GatewayAddress, Packaged, Removed


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """Options of deployments on this machine."""

    host: Annotated[str, Meta(description="address to listen on; default: 127.0.0.1")] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65535, description="port to listen on; 0, the default, for any, or the earlier one's")
    ] = 0
    transport: Annotated[
        str, Meta(description="how functions are called: local (shared memory, the default) or http")
    ] = "local"
    token_file: Annotated[Path | None, Meta(description="file with the token that requests must send")] = None


class LocalBackground:
    """Implements ``Platform``: ``mopar serve`` in the background."""

    name = "local"
    options = LocalOptions

    def package(self, bundle: Bundle, name: str, into: Path, options: LocalOptions, tell: Tell) -> Packaged:
        """There is nothing to package. Raises UsageError."""
        raise UsageError("this machine takes bundles as they are: deploy one without packaging it")

    def deploy(self, bundle: Bundle, name: str, options: LocalOptions, tell: Tell) -> Deployed:
        """Start a gateway in the background, or replace the one of that name; it keeps its port."""
        began = time.monotonic()
        gateways = BackgroundGateways(self.name)
        with gateways.changing(name):
            earlier = gateways.find(name)
            running = earlier is not None and earlier.alive()
            port = earlier.port() if earlier is not None and running and not options.port else options.port
            words = _words(bundle, options, port)
            if earlier is not None and running:
                tell(f"stopping {name} as it was")
                gateways.stop(earlier)
            tell(f"starting {name}")
            try:
                record = gateways.start(name, words)
            except MoparError as error:
                if earlier is None or not running:
                    gateways.forget(name)
                    raise
                gateways.start(name, earlier.words_again())
                raise PlatformError(f"{error}; {name} runs as it did before") from error
        return _found(record, bundle, began)

    def status(self, name: str, options: LocalOptions) -> Deployed:
        """The gateway's process and its functions."""
        from mopar.bundle import open_bundle  # needs numpy, which the help of the verbs does without

        began = time.monotonic()
        record = _record(BackgroundGateways(self.name), name)
        return _found(record, open_bundle(Path(record.words[0]), check=False), began)

    def remove(self, name: str, options: LocalOptions, tell: Tell) -> Removed:
        """Stop the gateway; its functions end with it."""
        gateways = BackgroundGateways(self.name)
        with gateways.changing(name):
            record = _record(gateways, name)
            tell(f"stopping {name}")
            gateways.stop(record)
            gateways.forget(name)
        return Removed((name,))


def _words(bundle: Bundle, options: LocalOptions, port: int) -> tuple[str, ...]:
    words = [str(bundle.root.resolve()), f"--host={options.host}", f"--port={port}", f"--transport={options.transport}"]
    if options.token_file is not None:
        words.append(f"--token-file={options.token_file.resolve()}")
    return tuple(words)


def _record(gateways: BackgroundGateways, name: str) -> GatewayRecord:
    record = gateways.find(name)
    if record is None:
        raise UsageError(f"nothing is deployed to local as {name}: see mopar deploy --help")
    return record


def _found(record: GatewayRecord, bundle: Bundle, began: float) -> Deployed:
    ready = record.alive() and answers(record.url)
    functions = tuple(
        DeployedFunction(function.name, f"process of {record.pid}", function.memory_mib, function.cpu, 1, ready)
        for function in bundle.manifest.plan.functions
    )
    gateway = GatewayAddress(record.url)
    return Deployed("local", record.name, ready, gateway, functions, round(time.monotonic() - began, 3))


PLATFORM = LocalBackground()
