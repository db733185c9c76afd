"""The platforms that are tested, each with what stands behind it here."""

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mopar.limits import detect_cgroups
from mopar.platforms.aws_lambda.emulated import TRANSPORT as EMULATED
from mopar.platforms.aws_lambda.options import LambdaOptions
from mopar.platforms.aws_lambda.platform import PLATFORM as AWS_LAMBDA
from mopar.platforms.container.labels import FUNCTION
from mopar.platforms.container.options import ContainerOptions
from mopar.platforms.container.platform import PLATFORM as CONTAINERS
from mopar.platforms.deploying import AnyPlatform
from mopar.platforms.gateways import BackgroundGateways
from mopar.platforms.local.background import PLATFORM as LOCAL
from mopar.platforms.local.background import LocalOptions
from mopar.platforms.openfaas.options import OpenFaasOptions
from mopar.platforms.openfaas.platform import OpenFaas
from tests.platforms.conformance.world import World
from tests.platforms.container import engines
from tests.platforms.local.leftovers import cgroups_of, is_dead, workers_of
from tests.platforms.openfaas.deployed import World as OpenFaasWorld
from tests.platforms.openfaas.fake import PASSWORD, openfaas
from tests.platforms.openfaas.images import FakeImages


@dataclass(frozen=True)
class LocalWorld:
    """This machine, with background gateways."""

    options: LocalOptions
    platform: AnyPlatform = LOCAL

    def kill_a_function(self, name: str) -> None:
        record = BackgroundGateways("local").find(name)
        assert record is not None
        os.kill(min(workers_of(record.pid)), signal.SIGKILL)

    def leftovers(self, name: str) -> Sequence[str]:
        gateways = BackgroundGateways("local")
        record = gateways.find(name)
        found = [str(path) for path in gateways.log(name).parent.glob(f"{name}.*") if path.suffix != ".lock"]
        if record is not None and not is_dead(record.pid):
            found += [f"process {record.pid}", *cgroups_of(record.pid)]
        return found


@dataclass(frozen=True)
class ContainerWorld:
    """Containers of this machine, by a real engine."""

    options: ContainerOptions
    platform: AnyPlatform = CONTAINERS

    def kill_a_function(self, name: str) -> None:
        first = next(container for container in engines.containers(name) if FUNCTION in container.labels)
        os.kill(first.pid, signal.SIGKILL)

    def leftovers(self, name: str) -> Sequence[str]:
        return engines.leftovers(name)


@dataclass(frozen=True)
class EmulatedWorld:
    """AWS Lambda by Amazon's emulator, on this machine."""

    options: LambdaOptions
    platform: AnyPlatform = AWS_LAMBDA

    def kill_a_function(self, name: str) -> None:
        folder = self._gateways.files(name)
        first = min(pid for pid in self._processes() if str(folder) in _words_of(pid) and "rie" not in _words_of(pid))
        os.kill(first, signal.SIGKILL)

    def leftovers(self, name: str) -> Sequence[str]:
        gateways = self._gateways
        record, files = gateways.find(name), gateways.files(name)
        found = [str(path) for path in files.parent.glob(f"{name}.*") if path.suffix != ".lock"]
        found += [f"process {pid}" for pid in self._processes() if str(files) in _words_of(pid)]
        if record is not None and not is_dead(record.pid):
            found += [f"process {record.pid}", *cgroups_of(record.pid)]
        return found

    @property
    def _gateways(self) -> BackgroundGateways:
        return BackgroundGateways(EMULATED)

    def _processes(self) -> list[int]:
        return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _words_of(pid: int) -> str:
    """A process's command line; empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


@contextlib.contextmanager
def opened_world(kind: str, folder: Path) -> Iterator[World]:
    """A platform that is tested, by its name and transport."""
    platform, _, transport = kind.partition("-")
    if platform == "local":
        yield LocalWorld(LocalOptions(transport=transport or "local"))
    elif platform == "container":
        yield ContainerWorld(engines.options(transport))
    elif kind == "aws-lambda":
        yield EmulatedWorld(LambdaOptions(emulate=True))
    else:
        with fake_openfaas(folder) as world:
            yield world


@contextlib.contextmanager
def fake_openfaas(folder: Path) -> Iterator[World]:
    """OpenFaaS by protocol, around real processes."""
    password = folder / "password"
    password.write_text(f"{PASSWORD}\n")
    with openfaas(folder / "openfaas", detect_cgroups()) as fake:
        options = OpenFaasOptions(
            gateway=fake.url, password_file=password, registry="registry.local:5000/team", ready_s=8.0
        )
        images = FakeImages(fake.registry)
        yield OpenFaasWorld(OpenFaas(lambda _options: images), options, fake, images)
