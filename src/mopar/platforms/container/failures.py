"""Why a container did not start, or ended, in one line."""

from collections.abc import Sequence

from mopar.platforms.container.command import CommandError
from mopar.platforms.container.engine import Container
from mopar.platforms.container.labels import member_of
from mopar.platforms.container.specs import ContainerSpec
from mopar.runtime.report import FAILED
from mopar.types import PlatformError

_KILLED = 137  # 128 + SIGKILL
_TOO_SMALL = (
    "oom-killed",
    "out of memory",
    "memory limit too low",
    "minimum memory limit",
    "unable to set memory limit",
)
"""Signs in an engine's messages that a container's own start did not fit into its limit."""
_ERROR = "error: "


def why_it_was_refused(spec: ContainerSpec, error: CommandError, *, too_small: bool) -> PlatformError:
    """Why an engine would not start a container; ``too_small``: its memory limit does not let it start."""
    if too_small:
        return _too_small(spec)
    return PlatformError(f"{member_of(spec.labels)} cannot be started: {error}")


def says_too_small(error: CommandError) -> bool:
    """Whether an engine says that a container's start did not fit into its limit."""
    return any(sign in error.text.lower() for sign in _TOO_SMALL)


def why_it_ended(spec: ContainerSpec, container: Container | None, said: Sequence[str]) -> PlatformError | None:
    """Why a container ended, by what it said and what the engine knows; None where neither says."""
    member = member_of(spec.labels)
    for line in reversed(said):
        if line.startswith((FAILED, _ERROR)):
            return PlatformError(f"{member}: {line.removeprefix(FAILED).removeprefix(_ERROR)}")
    if container is None or container.running or container.status == "restarting":
        return None
    if spec.memory_mib is not None and (container.oom_killed or container.exit_code == _KILLED):
        return _too_small(spec)
    last = f": {said[-1]}" if said else ""
    return PlatformError(f"{member} exited with status {container.exit_code}{last}")


def _too_small(spec: ContainerSpec) -> PlatformError:
    limit = f"its limit of {spec.memory_mib} MiB"
    return PlatformError(f"{member_of(spec.labels)} ran out of memory at {limit} and was killed: plan it with more")
