"""Bundles on OpenFaaS: packaged, deployed, looked at and removed."""

import time
from collections.abc import Callable
from pathlib import Path

from mopar.bundle import Bundle
from mopar.platforms.deploying import Tell
from mopar.platforms.gateways import BackgroundGateways
from mopar.platforms.health import answers
from mopar.platforms.images import GATEWAY, ImageBuilder, ImageOptions, chosen_images, push_what_fits
from mopar.platforms.names import FUNCTION_LABEL
from mopar.platforms.openfaas.client import OpenFaasClient
from mopar.platforms.openfaas.credentials import credentials_for
from mopar.platforms.openfaas.deploying import Deploying
from mopar.platforms.openfaas.members import (
    deployed_members,
    endpoints_of,
    function_members,
    gateway_member,
    member_names,
    member_of,
    model_path,
)
from mopar.platforms.openfaas.options import OpenFaasOptions, check_calls, check_options, invoked_at
from mopar.platforms.openfaas.rollout import delete_all
from mopar.platforms.openfaas.stack import FILE, stack_yaml
from mopar.platforms.openfaas.wire import FunctionStatus
from mopar.platforms.packages import write_package
from mopar.types import UsageError
from mopar.types.deployed import Deployed, DeployedFunction, GatewayAddress, Packaged, PackageItem, Removed


class OpenFaas:
    """Implements ``Platform``.

    Args:
        images: what makes a bundle's images, by the options.
    """

    name = "openfaas"
    options = OpenFaasOptions

    def __init__(self, images: Callable[[ImageOptions], ImageBuilder] = chosen_images) -> None:
        self._images = images

    def package(self, bundle: Bundle, name: str, into: Path, options: OpenFaasOptions, tell: Tell) -> Packaged:
        """Write ``stack.yaml``, and what the images are built from."""
        options = check_options(options)
        check_calls(options)
        builder = self._images(options)

        def fill(folder: Path) -> tuple[PackageItem, ...]:
            contexts = builder.contexts(bundle, name, folder, tell)
            images = builder.references(bundle, name, options.registry)
            members = function_members(bundle, name, images, options)
            if options.gateway_function:
                endpoints = endpoints_of(members, options)
                members = (*members, gateway_member(bundle, name, images, endpoints, options))
            text = stack_yaml(members, {item.name: item.path for item in contexts}, options)
            (folder / FILE).write_bytes(text)
            return (*contexts, PackageItem("stack", FILE, len(text)))

        return write_package(into, self.name, fill)

    def deploy(self, bundle: Bundle, name: str, options: OpenFaasOptions, tell: Tell) -> Deployed:
        """Create or update the functions, wait until they answer, and start a gateway; or change nothing."""
        began = time.monotonic()
        options = check_options(options)
        check_calls(options)
        member_names(bundle, name, options)
        client = self._client(options)
        gateways = BackgroundGateways(self.name)
        with gateways.changing(name):
            client.check_health()
            work = Deploying(client, gateways, bundle, name, options, tell)
            builder = self._images(options)
            images = builder.build(bundle, name, options.registry, tell)
            push_what_fits(builder, images, self.name, tell)
            work.run(images)
        return self._found(name, options, client, gateways, began)

    def status(self, name: str, options: OpenFaasOptions) -> Deployed:
        """The functions as the platform tells of them, and whether they answer."""
        began = time.monotonic()
        options = check_options(options)
        return self._found(name, options, self._client(options), BackgroundGateways(self.name), began)

    def remove(self, name: str, options: OpenFaasOptions, tell: Tell) -> Removed:
        """Stop the gateway and delete the functions."""
        options = check_options(options)
        client, gateways = self._client(options), BackgroundGateways(self.name)
        with gateways.changing(name):
            ours = deployed_members(client.functions(), name)
            record = gateways.find(name)
            if not ours and record is None:
                raise _nothing(name, options)
            if record is not None:
                tell(f"stopping the gateway of {name}")
                gateways.stop(record)
            tell(f"removing the functions of {name}")
            left = delete_all(client, list(ours))
            gateways.forget(name)
        gone = [function for function in ours if function not in left]
        return Removed((*gone, *([GATEWAY] if record is not None else [])), left)

    def _client(self, options: OpenFaasOptions) -> OpenFaasClient:
        known = credentials_for(options.gateway, options.username, options.password_file)
        return OpenFaasClient(options.gateway, known.username, known.password, options.namespace)

    def _found(
        self, name: str, options: OpenFaasOptions, client: OpenFaasClient, gateways: BackgroundGateways, began: float
    ) -> Deployed:
        ours = deployed_members(client.functions(), name)
        record = gateways.find(name)
        if not ours and record is None:
            raise _nothing(name, options)
        functions = tuple(
            _function(status, options) for status in ours.values() if status.label(FUNCTION_LABEL) != GATEWAY
        )
        inside = next((status for status in ours.values() if status.label(FUNCTION_LABEL) == GATEWAY), None)
        gateway, answering = None, False
        if inside is not None:
            gateway = GatewayAddress(invoked_at(options.gateway, inside.name, options.namespace) + model_path(inside))
            answering = answers(gateway.url)
        elif record is not None:
            gateway = GatewayAddress(record.url)
            answering = record.alive() and answers(record.url)
        ready = answering and bool(functions) and all(function.ready for function in functions)
        return Deployed(self.name, name, ready, gateway, functions, round(time.monotonic() - began, 3))


def _function(status: FunctionStatus, options: OpenFaasOptions) -> DeployedFunction:
    member = member_of(status)
    url = invoked_at(options.gateway, status.name, options.namespace)
    ready = status.available_replicas >= 1 and answers(url, revision=member.revision)
    return DeployedFunction(member.function, url, member.memory_mib, member.cpu, int(status.available_replicas), ready)


def _nothing(name: str, options: OpenFaasOptions) -> UsageError:
    return UsageError(f"nothing is deployed to openfaas at {options.gateway} as {name}: see mopar deploy --help")


PLATFORM = OpenFaas()
