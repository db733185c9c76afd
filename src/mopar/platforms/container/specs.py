"""A container to start, and the words of a command line that do so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mopar.runtime.pinning import CORES

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
        cores: that its process keeps to; none for any.
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
    cores: Sequence[int] = ()
    restarts: bool = True


def run_words(spec: ContainerSpec) -> list[str]:
    """The options of ``run``."""
    words = ["--name", spec.name, "--pull", "never", "--read-only", "--cap-drop", "all"]
    words += ["--security-opt", "no-new-privileges", "--ulimit", f"nofile={_OPEN_FILES}:{_OPEN_FILES}"]
    words += ["--restart", "unless-stopped"] if spec.restarts else ["--restart", "no"]
    words += label_words(spec.labels)
    for name, value in environment_of(spec).items():
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


def environment_of(spec: ContainerSpec) -> dict[str, str]:
    """The variables of a container beside its image's."""
    cores = {CORES: ",".join(map(str, spec.cores))} if spec.cores else {}
    return {**spec.environment, **cores}


def label_words(labels: Mapping[str, str]) -> list[str]:
    """Options that set labels."""
    return [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
