"""This machine as a platform."""

from collections.abc import Callable, Mapping, Sequence

from mopar.bundle import WORKER, Bundle
from mopar.platforms.base import RecordedCall, check_transport
from mopar.platforms.local.deployment import LocalDeployment
from mopar.platforms.local.http_deployment import HttpDeployment
from mopar.platforms.local.launch import WorkerLaunch
from mopar.types import Network, UsageError


class LocalPlatform:
    """Runs functions as processes of this machine, and starts single ones to be measured."""

    def start(
        self,
        bundle: Bundle,
        *,
        limits: bool = True,
        memory_mib: Mapping[str, int] | None = None,
        transport: str = "local",
        network: Network | None = None,
        notice: Callable[[str], None] = lambda _text: None,
        on_restart: Callable[[str], None] = lambda _name: None,
    ) -> LocalDeployment | HttpDeployment:
        """A deployment of the bundle, to be entered."""
        check_transport(transport, network)
        if transport == "http" and bundle.worker != WORKER:
            raise UsageError(f"{bundle.worker} speaks in frames alone: serve it with --transport local")
        make = HttpDeployment if transport == "http" else LocalDeployment
        return make(bundle, limits=limits, memory_mib=memory_mib, network=network, notice=notice, on_restart=on_restart)

    def launch(self, bundle: Bundle, function: str, calls: Sequence[RecordedCall]) -> WorkerLaunch:
        """One function of the bundle with its calls of one recorded request."""
        return WorkerLaunch.of(bundle, function, calls)

    def launch_whole(self, bundle: Bundle, calls: Mapping[str, Sequence[RecordedCall]]) -> WorkerLaunch:
        """All functions' graphs in one process, which runs all calls one after the other."""
        return WorkerLaunch.of_whole(bundle, calls)
