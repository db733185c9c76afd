"""Changes to the functions of a deployment that can be taken back as a whole."""

import time
from collections.abc import Mapping, Sequence

from mopar.platforms.deploying import Tell
from mopar.platforms.health import answers
from mopar.platforms.openfaas.client import OpenFaasClient
from mopar.platforms.openfaas.members import Member, spec_of
from mopar.platforms.openfaas.wire import FunctionSpec, FunctionStatus
from mopar.types import MoparError, PlatformError

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0
_ASK_S = 5.0
_GONE_S = 60.0
"""Longest wait until a deleted function is gone: a container has 30 s to end by itself."""


class Rollout:
    """Creates, updates and deletes functions, and remembers how to take that back.

    Args:
        client: of the platform.
        tell: is told each stage.
    """

    def __init__(self, client: OpenFaasClient, tell: Tell) -> None:
        self._client = client
        self._tell = tell
        self._made: list[str] = []
        self._before: list[FunctionSpec] = []

    def put(self, member: Member, earlier: FunctionStatus | None) -> None:
        """Create a function, or update the one that is there. Raises PlatformError."""
        if earlier is None:
            self._tell(f"creating {member.name}")
            self._made.append(member.name)  # before it is: a refused one may be left, dead
            self._client.create(member.spec)
        else:
            self._tell(f"updating {member.name}")
            self._before.append(spec_of(earlier))
            self._client.update(member.spec)

    def drop(self, status: FunctionStatus) -> None:
        """Delete a function. Raises PlatformError."""
        self._tell(f"removing {status.name}")
        self._before.append(spec_of(status))
        if delete_all(self._client, [status.name]):
            raise PlatformError(f"function {status.name} was deleted and is still there after {_GONE_S:g} s")

    def undo(self) -> tuple[str, ...]:
        """Take all changes back, as far as the platform lets it.

        Returns:
            Names of functions that are not as they were.
        """
        self._tell("taking changes back")
        left = list(delete_all(self._client, self._made))
        left += [spec.service for spec in self._before if not self._restored(spec)]
        return tuple(left)

    def _restored(self, spec: FunctionSpec) -> bool:
        try:
            if self._client.function(spec.service) is None:
                self._client.create(spec)
            else:
                self._client.update(spec)
        except MoparError:
            return False
        return True


def await_ready(members: Sequence[Member], urls: Mapping[str, str], timeout_s: float) -> None:
    """Wait until functions answer, as what they were deployed as.

    Args:
        members: to wait for.
        urls: function -> where it is asked for its health.
        timeout_s: for all of them together.

    Raises:
        PlatformError: one does not.
    """
    deadline, pause_s = time.monotonic() + timeout_s, _FIRST_PAUSE_S
    waiting = list(members)
    while True:
        waiting = [member for member in waiting if not answers(urls[member.function], _ASK_S, member.revision)]
        if not waiting:
            return
        if time.monotonic() + pause_s > deadline:
            break
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
    first = waiting[0]
    more = f" (nor did {len(waiting) - 1} more)" if len(waiting) > 1 else ""
    raise PlatformError(
        f"function {first.function} did not answer at {urls[first.function]} within {timeout_s:g} s{more}: its limit "
        f"of memory, {first.memory_mib} MiB, may be too small, or its image cannot be pulled: see the platform's "
        f"logs of {first.name}"
    )


def delete_all(client: OpenFaasClient, names: Sequence[str]) -> tuple[str, ...]:
    """Delete functions and wait until they are gone; those that are still there.

    A function that does not heed SIGTERM is deleted by the second try: the first ends in an error.
    """
    deadline, pause_s = time.monotonic() + _GONE_S, _FIRST_PAUSE_S
    left = list(names)
    while left := [name for name in left if not _is_gone(client, name)]:
        if time.monotonic() + pause_s > deadline:
            break
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
    return tuple(left)


def _is_gone(client: OpenFaasClient, name: str) -> bool:
    """Delete a function; whether there was none any more."""
    try:
        return not client.delete(name)
    except MoparError:
        return False
