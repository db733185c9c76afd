"""One deployment of a bundle to OpenFaaS: all of it, or what was there before."""

from collections.abc import Mapping

from mopar.bundle import Bundle
from mopar.platforms.deploying import Tell
from mopar.platforms.gateways import BackgroundGateways
from mopar.platforms.names import DEPLOYMENT_LABEL
from mopar.platforms.openfaas.client import OpenFaasClient, names_of
from mopar.platforms.openfaas.members import (
    Member,
    deployed_members,
    endpoints_of,
    function_members,
    gateway_member,
    member_names,
    member_of,
)
from mopar.platforms.openfaas.options import OpenFaasOptions, invoked_at
from mopar.platforms.openfaas.rollout import Rollout, await_ready
from mopar.platforms.served import EarlierGateway, ServedGateway
from mopar.types import MoparError, PlatformError, UsageError


class Deploying:
    """Changes what is deployed under a name to a bundle.

    Meanwhile the earlier gateway is stopped, so that no request meets functions of both.

    Args:
        client: of the platform.
        gateways: in the background of this machine.
        bundle: to deploy.
        name: of the deployment.
        options: of the platform.
        tell: is told each stage.

    Raises:
        UsageError: a function's name is taken.
        PlatformError: the platform takes fewer functions, or cannot be asked.
    """

    def __init__(
        self,
        client: OpenFaasClient,
        gateways: BackgroundGateways,
        bundle: Bundle,
        name: str,
        options: OpenFaasOptions,
        tell: Tell,
    ) -> None:
        self._client = client
        self._gateways = gateways
        self._gateway = ServedGateway(gateways, bundle, name, options, tell)
        self._bundle = bundle
        self._name = name
        self._options = options
        self._tell = tell
        present = client.functions()
        self._present = deployed_members(present, name)
        others = [status for status in present if status.name not in self._present]
        names = member_names(bundle, name, options)
        taken = [status for status in others if status.name in names.values()]
        if taken:
            raise UsageError(
                f"{names_of(taken)} at {options.gateway} has no label {DEPLOYMENT_LABEL}={name}, so it is not this "
                "deployment's: choose another --name"
            )
        most = options.max_functions
        if len(others) + len(names) > most:
            spare = max(most - len(others) - options.gateway_function, 0)
            raise PlatformError(
                f"the platform takes {most} functions (--max-functions), it has {len(others)} others, and {name} needs "
                f"{len(names)}: plan with --max-functions {spare}, or remove functions that are there"
            )

    def run(self, images: Mapping[str, str]) -> None:
        """Change it. Raises PlatformError; then all is as it was, or the message says what is not."""
        earlier = self._gateway.stop()
        rollout = Rollout(self._client, self._tell)
        try:
            self._change(rollout, images, earlier)
        except MoparError as error:
            raise PlatformError(f"{error}{self._take_back(rollout, earlier)}") from error
        except BaseException:  # an interrupt too
            self._take_back(rollout, earlier)
            raise

    def _change(self, rollout: Rollout, images: Mapping[str, str], earlier: EarlierGateway | None) -> None:
        members = function_members(self._bundle, self._name, images, self._options)
        kept = {member.name for member in members}
        for status in self._present.values():
            if status.name not in kept:  # the gateway as a function too: it must not meet functions of both
                rollout.drop(status)
        for member in members:
            rollout.put(member, self._present.get(member.name))
        self._await(members)
        self._scale(members)
        endpoints = endpoints_of(members, self._options)
        if self._options.gateway_function:
            gateway = gateway_member(self._bundle, self._name, images, endpoints, self._options)
            rollout.put(gateway, None)
            self._await((gateway,))
            self._gateways.forget(self._name)
        else:
            self._gateway.start(endpoints, earlier)

    def _await(self, members: tuple[Member, ...]) -> None:
        self._tell("waiting until the functions answer" if len(members) > 1 else f"waiting for {members[0].name}")
        urls = {
            member.function: invoked_at(self._options.gateway, member.name, self._options.namespace)
            for member in members
        }
        await_ready(members, urls, self._options.ready_s)

    def _scale(self, members: tuple[Member, ...]) -> None:
        """Ask for replicas where the platform has not made them by the functions' labels."""
        for member in members:
            status = self._client.function(member.name) if member.replicas > 1 else None
            if status is not None and status.replicas < member.replicas:
                self._client.scale(member.name, member.replicas)

    def _take_back(self, rollout: Rollout, earlier: EarlierGateway | None) -> str:
        """Take changes back; what to add to the message of the error."""
        left = rollout.undo()
        if left:
            return f"; {', '.join(left)} may be left: mopar remove {self._name} --platform openfaas"
        if earlier is None and not self._present:
            self._gateways.forget(self._name)
            return ""
        try:
            if earlier is not None:
                self._gateway.restart(earlier)
            else:
                self._await(tuple(member_of(status) for status in self._present.values()))
        except MoparError as error:
            return f"; {self._name} is as it was before, but does not answer: {error}"
        return f"; {self._name} runs as it did before"
