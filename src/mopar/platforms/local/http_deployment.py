"""A bundle running on this machine, each function with an HTTP server of its own."""

from collections.abc import Callable

from mopar.bundle.sent_codecs import code_ratios, functions_that_encode
from mopar.limits import Cgroup
from mopar.machine import available_bytes
from mopar.platforms.base import Budget
from mopar.platforms.codes import codec_library
from mopar.platforms.http import HttpTransport
from mopar.platforms.http.oip import OipWire
from mopar.platforms.local.deployment import HostDeployment
from mopar.platforms.local.door import DoorSpec, HttpFunction
from mopar.platforms.local.process import WorkerSpec
from mopar.platforms.request_codes import PlanCodes

_MIB = 1 << 20


class HttpDeployment(HostDeployment[HttpFunction]):
    """Functions that are called over HTTP, on this machine's loopback address. They run ``mopar.runtime.http``."""

    def _function(
        self,
        spec: WorkerSpec,
        make_cgroup: Callable[[], Cgroup] | None,
        on_restart: Callable[[str], None],
        memory_mib: int,
    ) -> HttpFunction:
        most = available_bytes() if make_cgroup is None else memory_mib * _MIB
        manifest = self.bundle.manifest
        library = codec_library() if spec.function in functions_that_encode(manifest) else None
        graphs = tuple(self.bundle.graphs_of(spec.function))
        door = DoorSpec(spec, graphs, most, library, code_ratios(manifest.plan, manifest.codes))
        return HttpFunction(door, make_cgroup, on_restart, memory_mib)

    def transport(self, budget: Budget | None = None) -> HttpTransport:
        """What carries calls to the functions, which have been started. Raises PlatformError: codecs are not here."""
        urls = {name: [function.url] for name, function in self.functions.items()}
        wire = OipWire(PlanCodes.of(self.bundle.manifest))
        return HttpTransport(urls, budget, self.network, watches=self.functions, wire=wire)
