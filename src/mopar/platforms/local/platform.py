"""This machine as a platform."""

from collections.abc import Callable, Mapping, Sequence

from mopar.bundle import Bundle
from mopar.platforms.base import RecordedCall
from mopar.platforms.local.deployment import LocalDeployment
from mopar.platforms.local.launch import WorkerLaunch


class LocalPlatform:
    """Runs functions as processes of this machine, and starts single ones to be measured."""

    def start(
        self,
        bundle: Bundle,
        *,
        limits: bool = True,
        memory_mib: Mapping[str, int] | None = None,
        notice: Callable[[str], None] = lambda _text: None,
        on_restart: Callable[[str], None] = lambda _name: None,
    ) -> LocalDeployment:
        """A deployment of the bundle, to be entered."""
        return LocalDeployment(bundle, limits=limits, memory_mib=memory_mib, notice=notice, on_restart=on_restart)

    def launch(self, bundle: Bundle, function: str, calls: Sequence[RecordedCall]) -> WorkerLaunch:
        """One function of the bundle with its calls of one recorded request."""
        return WorkerLaunch.of(bundle, function, calls)

    def launch_whole(self, bundle: Bundle, calls: Mapping[str, Sequence[RecordedCall]]) -> WorkerLaunch:
        """All functions' graphs in one process, which runs all calls one after the other."""
        return WorkerLaunch.of_whole(bundle, calls)
