"""A container engine, podman or docker, as deployments use it: a thin layer over its command line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mopar.platforms.container.command import CommandError, Commands
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
_OPEN_FILES = 4096


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume in a container."""

    volume: str
    path: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """A container to start.

    Attributes:
        name, image, labels: its own.
        network: that it is in; None for the engine's own.
        command: in place of the image's.
        environment: beside the image's.
        mounts: volumes.
        alias: its name in ``network``.
        publish: ``ADDRESS:PORT:PORT``, of the host and of the container.
        memory_mib: limit; there is no swap beyond it.
        cpu: limit, as a quota of each ``period_us``.
        restarts: whether the engine starts it again when it ends.
    """

    name: str
    image: str
    labels: Mapping[str, str]
    network: str | None = None
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: Sequence[Mount] = ()
    alias: str | None = None
    publish: str | None = None
    memory_mib: int | None = None
    cpu: float | None = None
    period_us: int = 100_000
    restarts: bool = True


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

    def build(self, context: Path, containerfile: str, tag: str, labels: Mapping[str, str]) -> None:
        """Build an image. Raises CommandError."""
        times = (
            ["--timestamp", "0", "--layers=false"] if self.name == "podman" else ["--build-arg", "SOURCE_DATE_EPOCH=0"]
        )
        words = ["build", *times, "--file", str(context / containerfile), "--tag", tag, *_labels(labels)]
        self._commands.ask([*words, str(context)], _BUILD_S)

    def tag(self, name: str, another: str) -> None:
        """Give an image another name. Raises CommandError."""
        self._ask("tag", name, another)

    def push(self, name: str) -> None:
        """Send an image to the registry that its name begins with. Raises CommandError."""
        self._commands.ask(["push", name], _BUILD_S)

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
        self._ask("volume", "create", *_labels(labels), name)

    def create_network(self, name: str, labels: Mapping[str, str]) -> None:
        """A bridge of its own."""
        self._ask("network", "create", *_labels(labels), name)

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
        words = ["run", *self._commands.when_made, *how, *_words(spec), spec.image, *spec.command]
        self._commands.ask(words, _RUN_S, given)

    def _ask(self, *words: str) -> str:
        return self._commands.ask(words, _SHORT_S)

    def _lines(self, *words: str) -> tuple[str, ...]:
        return tuple(line.strip() for line in self._ask(*words).splitlines() if line.strip())


def _words(spec: ContainerSpec) -> list[str]:
    """The options of ``run``."""
    words = ["--name", spec.name, "--pull", "never", "--read-only", "--cap-drop", "all"]
    words += ["--security-opt", "no-new-privileges", "--ulimit", f"nofile={_OPEN_FILES}:{_OPEN_FILES}"]
    words += ["--restart", "unless-stopped"] if spec.restarts else ["--restart", "no"]
    words += _labels(spec.labels)
    for name, value in spec.environment.items():
        words += ["--env", f"{name}={value}"]
    for mount in spec.mounts:
        words += ["--volume", f"{mount.volume}:{mount.path}{':ro' if mount.read_only else ''}"]
    for flag, text in (("--network", spec.network), ("--network-alias", spec.alias), ("--publish", spec.publish)):
        if text is not None:
            words += [flag, text]
    if spec.memory_mib is not None:
        words += ["--memory", f"{spec.memory_mib}m", "--memory-swap", f"{spec.memory_mib}m"]
    if spec.cpu is not None:
        words += ["--cpu-period", str(spec.period_us), "--cpu-quota", str(round(spec.cpu * spec.period_us))]
    return words


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


def _labels(labels: Mapping[str, str]) -> list[str]:
    return [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]


def _filters(labels: Mapping[str, str]) -> list[str]:
    """Filters by labels; one without a value stands for any."""
    texts = [f"{name}={value}" if value else name for name, value in labels.items()]
    return [word for text in texts for word in ("--filter", f"label={text}")]
