"""Deployments to emulators of this machine: functions as Lambda would run them, and a gateway in the background."""

import os
import secrets
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mopar.bundle import Bundle
from mopar.files import from_json, read_bounded, read_json, storage_error, temporary_folder, to_json, write_whole
from mopar.platforms.aws_lambda.emulator import instance_environment, own_command
from mopar.platforms.aws_lambda.emulator_process import find_emulator
from mopar.platforms.aws_lambda.instance import SPEC, TASK, InstanceSpec
from mopar.platforms.aws_lambda.naming import ENTRY, tensors_prefix
from mopar.platforms.aws_lambda.options import LambdaOptions
from mopar.platforms.aws_lambda.packaging import Packager
from mopar.platforms.aws_lambda.serving import check_credentials
from mopar.platforms.aws_lambda.stack import Member, check_plan, stack_of, vcpus_of
from mopar.platforms.aws_lambda.unpacking import unpack
from mopar.platforms.bills import billed_of
from mopar.platforms.books import load_book
from mopar.platforms.deploying import Tell
from mopar.platforms.endpoints import LAMBDA_EMULATED, AwsPlace, Endpoints
from mopar.platforms.gateways import BackgroundGateways, GatewayRecord
from mopar.platforms.health import answers
from mopar.platforms.served import EarlierGateway, ServedGateway
from mopar.types import MoparError, PlatformError, UsageError
from mopar.types.deployed import Deployed, DeployedFunction, GatewayAddress, Removed

TRANSPORT = LAMBDA_EMULATED
_PLATFORM = "aws-lambda"
_REGION = "us-east-1"
"""Of what stands in for S3, where none is named."""
_BOOKS = {"x86_64": "aws-lambda-x86", "arm64": "aws-lambda-arm"}


def deploy_emulated(bundle: Bundle, name: str, options: LambdaOptions, packager: Packager, tell: Tell) -> Deployed:
    """Start the functions and a gateway, or replace those of that name; or change nothing.

    Raises:
        UsageError: an option is wrong.
        PlatformError: there is no emulator, a limit of Lambda is hit, or a function does not start.
    """
    began = time.monotonic()
    if options.bucket:
        check_credentials(options)
    gateways = _gateways()
    with gateways.changing(name):
        _Emulating(gateways, bundle, name, options, packager, tell).run()
    return _found(gateways, name, began)


def emulated_status(name: str, began: float) -> Deployed:
    """The gateway's process, its functions, and what their calls would have cost. Raises UsageError: there is none."""
    return _found(_gateways(), name, began)


def remove_emulated(name: str, tell: Tell) -> Removed:
    """Stop the gateway; its functions end with it. Raises UsageError: there is none."""
    gateways = _gateways()
    with gateways.changing(name):
        record = _record(gateways, name)
        functions = _endpoints(gateways, name).functions
        tell(f"stopping {name}")
        gateways.stop(record)
        gateways.forget(name)
    return Removed((*functions, "gateway"))


@dataclass(frozen=True, slots=True)
class _Emulating:
    """One deployment."""

    gateways: BackgroundGateways
    bundle: Bundle
    name: str
    options: LambdaOptions
    packager: Packager
    tell: Tell

    def run(self) -> None:
        gateway = ServedGateway(self.gateways, self.bundle, self.name, self.options, self.tell)
        folder = self.gateways.files(self.name) / secrets.token_hex(8)
        stopped: list[EarlierGateway | None] = []
        try:
            functions = self._written(folder)
            stopped.append(gateway.stop())
            gateway.start(self._endpoints(functions), stopped[0])
        except MoparError as error:
            kind = UsageError if isinstance(error, UsageError) else PlatformError
            raise kind(f"{error}{self._taken_back(gateway, folder, stopped)}") from error
        except BaseException:  # an interrupt too
            self._taken_back(gateway, folder, stopped)
            raise
        for other in folder.parent.iterdir():
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)

    def _written(self, folder: Path) -> Mapping[str, Path]:
        """The functions' folders."""
        emulator = find_emulator()
        check_plan(self.bundle, self.name, self.options)
        try:
            with temporary_folder("mopar-lambda-") as making:
                packages = self.packager(self.bundle, self.name, Path(making), self.options, self.tell)
                stack = stack_of(self.bundle, self.name, packages, self.options, direct=False)
                for member in stack.members:
                    self._write(member, folder / member.function, emulator)
        except OSError as cause:
            raise storage_error(cause, folder) from cause
        return {package.function: folder / package.function for package in packages}

    def _write(self, member: Member, folder: Path, emulator: Path) -> None:
        package = member.package
        self.tell(f"unpacking {package.function}")
        unpack(package, folder / TASK)
        temporary = folder / "tmp"
        temporary.mkdir()
        book = load_book(_BOOKS[package.architecture])
        spec = InstanceSpec(
            function=package.function,
            memory_mib=package.memory_mib,
            vcpus=vcpus_of(package.memory_mib),
            emulator=str(emulator),
            command=tuple(own_command(folder / TASK, package.module)),
            environment=instance_environment(package, temporary, member.timeout_s),
            gib_s_usd=book.gib_s_usd,
            request_usd=book.request_usd,
            billing_unit_ms=book.billing_unit_ms,
        )
        write_whole(folder / SPEC, to_json(spec))

    def _endpoints(self, functions: Mapping[str, Path]) -> Endpoints:
        bucket = self.options.bucket
        region = self.options.region or os.environ.get("AWS_REGION") or _REGION
        place = AwsPlace(region, self.options.profile, bucket, tensors_prefix(self.name) if bucket else "")
        places: dict[str, tuple[str, ...]] = {name: (str(folder),) for name, folder in functions.items()}
        entry = ENTRY if self.options.by_entry else ""
        return Endpoints(places, TRANSPORT, self.options.ready_s, aws=place, entry=entry)

    def _taken_back(self, gateway: ServedGateway, folder: Path, stopped: list[EarlierGateway | None]) -> str:
        """Take changes back; what to add to the message of the error."""
        shutil.rmtree(folder, ignore_errors=True)
        record = self.gateways.find(self.name)
        if not stopped and record is not None and record.alive():
            return f"; {self.name} runs as it did before"
        if not stopped or stopped[0] is None:
            self.gateways.forget(self.name)
            return ""
        try:
            gateway.restart(stopped[0])
        except MoparError as error:
            return f"; {self.name} does not run any more: {error}"
        return f"; {self.name} runs as it did before"


def _gateways() -> BackgroundGateways:
    return BackgroundGateways(TRANSPORT)


def _record(gateways: BackgroundGateways, name: str) -> GatewayRecord:
    record = gateways.find(name)
    if record is None:
        raise UsageError(f"nothing is emulated here as {name}: see mopar deploy --help")
    return record


def _endpoints(gateways: BackgroundGateways, name: str) -> Endpoints:
    path = gateways.functions_file(name)
    try:
        return from_json(read_bounded(path), Endpoints, what=str(path), error=PlatformError)
    except OSError as cause:
        raise storage_error(cause, path) from cause


def _found(gateways: BackgroundGateways, name: str, began: float) -> Deployed:
    record = _record(gateways, name)
    ready = record.alive() and answers(record.url)
    billed = billed_of(record) if record.alive() else {}
    functions = []
    for function, places in _endpoints(gateways, name).functions.items():
        spec = read_json(Path(places[0]) / SPEC, InstanceSpec, error=PlatformError)
        functions.append(
            DeployedFunction(
                function,
                f"emulator of process {record.pid}",
                spec.memory_mib,
                spec.vcpus,
                1,
                ready,
                billed.get(function),
            )
        )
    seconds = round(time.monotonic() - began, 3)
    return Deployed(_PLATFORM, name, ready, GatewayAddress(record.url), tuple(functions), seconds)
