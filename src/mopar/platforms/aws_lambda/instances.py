"""Emulated functions of a gateway: an instance of each, started again when it dies, and what its calls would cost."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from mopar.files import read_json, to_json
from mopar.limits import Cgroup, Cgroups, detect_cgroups
from mopar.platforms.aws_lambda.emulator_process import free_ports
from mopar.platforms.aws_lambda.instance import HOST, SPEC, Instance, InstanceSpec
from mopar.platforms.aws_lambda.transport import lambda_wire
from mopar.platforms.base import Bill, Budget
from mopar.platforms.endpoints import FUNCTIONS_VARIABLE, LAMBDA, Endpoints
from mopar.platforms.http import HttpTransport
from mopar.platforms.local.together import close_all, start_all
from mopar.platforms.local.watched import WatchedFunction
from mopar.platforms.request_codes import PlanCodes
from mopar.types import Manifest, PlatformError

_INHERITED = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL",
)  # fmt: skip
"""What functions need of this process's environment where tensors pass through a bucket."""
_ANSWER_S = 0.2
"""How long an emulator may take to say what became of a call after its function has ended."""
_MIB = 1 << 20


class InstanceSupervisor(WatchedFunction[Instance]):
    """Supervises an instance, and tells what its calls cost.

    Args:
        folder: of the function.
        port: where it is called; it stays the same when the function is started again.
        cgroups: to limit it with; None for no limits.
        variables: of its environment.
        on_restart: called with its name each time it is restarted.
        called: what it calls by itself, one request at a time, where it runs the plan.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        cgroups: Cgroups | None,
        variables: Mapping[str, str],
        on_restart: Callable[[str], None],
        called: "Sequence[InstanceSupervisor]" = (),
    ) -> None:
        self.spec = read_json(folder / SPEC, InstanceSpec, error=PlatformError)
        make = None if cgroups is None else lambda: self._limited(cgroups)
        super().__init__(self.spec.function, make, on_restart, self.spec.memory_mib)
        self._folder = folder
        self._variables = variables
        self._port = port
        self._called = tuple(called)

    @property
    def url(self) -> str:
        """Where the function is called."""
        return f"http://{HOST}:{self._port}"

    @property
    def init_ms(self) -> float:
        """Of its initialisation, until a call was billed; 0 where it does not run."""
        return 0.0 if self._process is None else self._process.init_ms

    async def bill(self) -> Bill | None:
        """By the emulator's own report."""
        process = self._process
        if process is None:
            return None
        try:
            bill = self.spec.bill(await asyncio.to_thread(process.duration_ms))
        except PlatformError:  # it died after its answer
            return None
        return replace(bill, inner=tuple(item for function in self._called for item in function.bills()))

    def bills(self) -> list[tuple[str, Bill]]:
        """Of calls that have been answered to others than this process, and not been told yet."""
        durations = [] if self._process is None else self._process.durations_ms()
        return [(self.spec.function, self.spec.bill(ms)) for ms in durations]

    def _limited(self, cgroups: Cgroups) -> Cgroup:
        cgroup = cgroups.create(f"lambda-{self.spec.function}"[:64])
        try:
            cgroup.limit(self.spec.memory_mib * _MIB, self.spec.vcpus)
        except PlatformError:
            cgroup.remove()
            raise
        return cgroup

    def _launched(self, cgroup: Cgroup | None) -> Instance:
        return Instance(self.spec, self._folder, self._port, cgroup, self._variables)

    def _heard(self, process: Instance) -> None:
        """Let the emulator answer a call that the function has died in: it knows where that was a time-out."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(process)
        loop.call_later(_ANSWER_S, self._died, process)


class EmulatedDeployment:
    """Functions on emulators of this process. Use it as an async context manager.

    Args:
        endpoints: function -> its folder.
        manifest: whose functions they are.
        on_restart: called with a function's name each time it is restarted.

    Raises:
        PlatformError: a folder has no function.
    """

    def __init__(self, endpoints: Endpoints, manifest: Manifest, on_restart: Callable[[str], None]) -> None:
        self._place = endpoints.aws
        self._codes = PlanCodes.of(manifest)
        cgroups = detect_cgroups()
        if cgroups is not None:
            cgroups.sweep_stale()
        self.limited = cgroups is not None
        """Whether functions run under limits."""
        variables = {name: os.environ[name] for name in _INHERITED if endpoints.aws.bucket and name in os.environ}
        if endpoints.aws.bucket:
            variables["AWS_REGION"] = endpoints.aws.region
        ports = free_ports(len(endpoints.functions))
        self.functions: dict[str, InstanceSupervisor] = {}
        entry = endpoints.entry
        for name, port in zip(sorted(endpoints.functions, key=lambda name: name == entry), ports, strict=True):
            told, called = (self._entry_variables(), tuple(self.functions.values())) if name == entry else ({}, ())
            self.functions[name] = InstanceSupervisor(
                Path(endpoints.functions[name][0]), port, cgroups, variables | told, on_restart, called
            )

    def _entry_variables(self) -> dict[str, str]:
        """The environment of a function that runs the plan: where the others are."""
        places: dict[str, tuple[str, ...]] = {name: (function.url,) for name, function in self.functions.items()}
        return {FUNCTIONS_VARIABLE: to_json(Endpoints(places, LAMBDA, aws=self._place)).decode()}

    def transport(self, budget: Budget | None = None) -> HttpTransport:
        """What carries calls to the functions, one at a time to each."""
        urls = {name: [function.url] for name, function in self.functions.items()}
        return HttpTransport(urls, budget, watches=self.functions, wire=lambda_wire(urls, self._place, self._codes))

    async def __aenter__(self) -> Self:
        """Start all functions; where one fails, none is left. Raises PlatformError."""
        await start_all(self.functions.values())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all functions."""
        await close_all(self.functions.values())
