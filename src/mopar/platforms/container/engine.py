"""A container engine, podman or docker, as deployments use it: a thin layer over its command line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from mopar.platforms.container.command import CommandError, Commands
from mopar.platforms.container.specs import ContainerSpec, label_words, run_words
from mopar.types import PlatformError

_KINDS = {
    "container": (("ps", "--all"), "{{.Names}}", ("rm", "--force")),
    "network": (("network", "ls"), "{{.Name}}", ("network", "rm")),
    "volume": (("volume", "ls"), "{{.Name}}", ("volume", "rm", "--force")),
    "image": (("image", "ls"), "{{.Repository}}:{{.Tag}}", ("image", "rm")),
}
KINDS = tuple(_KINDS)
"""What a deployment is made of, in the order in which it can be removed."""
_SHORT_S, _RUN_S, _BUILD_S = 60.0, 120.0, 900.0
_STOP_S = 10


@dataclass(frozen=True, slots=True)
class Container:
    """A container as it is: ``oom_killed`` and ``exit_code`` are of its last end; a ``pid`` of 0 is none."""

    name: str
    labels: Mapping[str, str]
    image: str
    status: str
    exit_code: int
    oom_killed: bool
    restarts: int
    pid: int
    started: str

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return self.status == "running"


class _State(msgspec.Struct):
    Status: str
    ExitCode: int = 0
    OOMKilled: bool = False
    Pid: int = 0
    StartedAt: str = ""


class _Config(msgspec.Struct):
    Labels: dict[str, str] | None = None
    Image: str = ""


class _Inspected(msgspec.Struct):
    """What both engines print of a container."""

    Name: str
    State: _State
    Config: _Config
    RestartCount: int = 0


class Engine:
    """An engine.

    Args:
        commands: runs its commands.
    """

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    @property
    def name(self) -> str:
        """``podman`` or ``docker``."""
        return self._commands.name

    def build(
        self, context: Path, containerfile: str, tag: str, labels: Mapping[str, str], platform: str | None = None
    ) -> None:
        """Build an image, for another ``platform`` such as ``linux/arm64`` if one is named. Raises CommandError."""
        times = (
            ["--timestamp", "0", "--layers=false"] if self.name == "podman" else ["--build-arg", "SOURCE_DATE_EPOCH=0"]
        )
        words = ["build", *times, "--file", str(context / containerfile), "--tag", tag, *label_words(labels)]
        words += [] if platform is None else ["--platform", platform]
        self._commands.ask([*words, str(context)], _BUILD_S)

    def tag(self, name: str, another: str) -> None:
        """Give an image another name. Raises CommandError."""
        self._ask("tag", name, another)

    def log_in(self, registry: str, user: str, password: str) -> None:
        """Have the engine send a password to a registry from now on; it goes through a pipe. Raises CommandError."""
        words = ["login", "--username", user, "--password-stdin", registry]
        self._commands.ask(words, _SHORT_S, password.encode())

    def push(self, name: str) -> None:
        """Send an image to the registry that its name begins with. Raises CommandError.

        One on loopback need not speak https: docker does not ask that of it, and podman is told not to.
        """
        plain = ["--tls-verify=false"] if self.name == "podman" and is_on_loopback(name) else []
        self._commands.ask(["push", *plain, name], _BUILD_S)

    def size_bytes(self, image: str) -> int:
        """Of an image, all its layers together, unpacked. Raises CommandError where it is not there."""
        printed = self._ask("image", "inspect", "--format", "{{.Size}}", image).strip()
        if not printed.isdecimal():
            raise PlatformError(f"{self.name} image inspect prints what is no size: {printed[:80]}")
        return int(printed)

    def names(self, kind: str, labels: Mapping[str, str]) -> tuple[str, ...]:
        """Names of what has these labels; ``kind`` is one of KINDS, and images are named with their tags."""
        words, form, _ = _KINDS[kind]
        return self._lines(*words, *_filters(labels), "--format", form)

    def remove(self, kind: str, name: str) -> None:
        """Remove something, a container even if it runs. Raises CommandError."""
        self._ask(*_KINDS[kind][2], name)

    def containers(self, labels: Mapping[str, str]) -> tuple[Container, ...]:
        """The containers with these labels, whether they run or not, by name."""
        names = self._lines("ps", "--all", "--quiet", "--no-trunc", *_filters(labels))
        if not names:
            return ()
        printed = self._ask("container", "inspect", *names)
        try:
            found = msgspec.json.decode(printed, type=list[_Inspected])
        except msgspec.DecodeError as cause:
            raise PlatformError(f"{self.name} inspect prints what cannot be read: {cause}") from cause
        return tuple(sorted(map(_container, found), key=lambda container: container.name))

    def create_volume(self, name: str, labels: Mapping[str, str]) -> None:
        """A volume on this machine."""
        self._ask("volume", "create", *label_words(labels), name)

    def create_network(self, name: str, labels: Mapping[str, str]) -> None:
        """A bridge of its own."""
        self._ask("network", "create", *label_words(labels), name)

    def run(self, spec: ContainerSpec) -> None:
        """Start a container. Raises CommandError."""
        self._made(spec, ["--detach"])

    def feed(self, spec: ContainerSpec, given: bytes) -> None:
        """Run a container that reads ``given`` and ends. Raises CommandError."""
        self._made(spec, ["--rm", "--interactive"], given)

    def logs(self, name: str, lines: int) -> tuple[str, ...]:
        """The last lines that a container printed."""
        try:
            text = self._commands.ask(["logs", "--tail", str(lines), name], _SHORT_S, both=True)
        except CommandError:  # it has just been removed
            return ()
        return tuple(line.strip() for line in text.splitlines() if line.strip())

    def stop(self, names: Sequence[str]) -> None:
        """Stop containers and start none of them again."""
        self._ask("stop", "-t", str(_STOP_S), *names)

    def start(self, names: Sequence[str]) -> None:
        """Start containers that were stopped."""
        self._commands.ask(["start", *names], _RUN_S)

    def _made(self, spec: ContainerSpec, how: Sequence[str], given: bytes | None = None) -> None:
        words = ["run", *self._commands.when_made, *how, *run_words(spec), spec.image, *spec.command]
        self._commands.ask(words, _RUN_S, given)

    def _ask(self, *words: str) -> str:
        return self._commands.ask(words, _SHORT_S)

    def _lines(self, *words: str) -> tuple[str, ...]:
        return tuple(line.strip() for line in self._ask(*words).splitlines() if line.strip())


def is_on_loopback(image: str) -> bool:
    """Whether the registry that an image's name begins with is on this machine's loopback."""
    try:
        host = urlsplit(f"//{image.partition('/')[0]}").hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # another name, or none at all
        return False


def _container(found: _Inspected) -> Container:
    state = found.State
    return Container(
        name=found.Name.removeprefix("/"),
        labels=found.Config.Labels or {},
        image=found.Config.Image,
        status=state.Status,
        exit_code=state.ExitCode,
        oom_killed=state.OOMKilled,
        restarts=found.RestartCount,
        pid=state.Pid,
        started=state.StartedAt,
    )


def _filters(labels: Mapping[str, str]) -> list[str]:
    """Filters by labels; one without a value stands for any."""
    texts = [f"{name}={value}" if value else name for name, value in labels.items()]
    return [word for text in texts for word in ("--filter", f"label={text}")]
