"""Mopar's gateway in the background of this machine, which calls the functions of a deployment to Lambda."""

from collections.abc import Mapping
from functools import partial

from mopar.bundle import Bundle
from mopar.platforms.aws_lambda.changes import Changes
from mopar.platforms.aws_lambda.credentials import OwnCredentials
from mopar.platforms.aws_lambda.naming import tensors_prefix
from mopar.platforms.aws_lambda.options import LambdaOptions
from mopar.platforms.deploying import Tell
from mopar.platforms.endpoints import LAMBDA, AwsPlace, Endpoints
from mopar.platforms.gateways import BackgroundGateways
from mopar.platforms.served import EarlierGateway, ServedGateway
from mopar.types import DeploymentError, UsageError


def check_credentials(options: LambdaOptions) -> None:
    """Raise UsageError where a gateway of this machine could not sign: it reads keys alone."""
    try:
        OwnCredentials(options.profile).current()
    except DeploymentError as error:
        raise UsageError(f"{error}; or deploy with --functions-only, without a gateway here") from error


class LambdaGateway:
    """Switches a deployment's gateway from the versions that it calls to others.

    Args:
        gateways: in the background of this machine.
        bundle: to serve.
        name: of the deployment.
        options: of the platform.
        tell: is told each stage.
    """

    def __init__(
        self, gateways: BackgroundGateways, bundle: Bundle, name: str, options: LambdaOptions, tell: Tell
    ) -> None:
        self._gateway = ServedGateway(gateways, bundle, name, options, tell)
        self._name = name
        self._options = options

    def switch(self, functions: Mapping[str, str], region: str, bucket: str, changes: Changes) -> None:
        """Have the gateway call these functions.

        Args:
            functions: function -> its name on Lambda, with a version.
            region: that they are in.
            bucket: for tensors that no message holds; empty for none.
            changes: gets what was done.

        Raises:
            PlatformError: it does not start.
        """
        place = AwsPlace(region, self._options.profile, bucket, tensors_prefix(self._name) if bucket else "")
        endpoints = Endpoints(
            {function: (called,) for function, called in functions.items()},
            LAMBDA,
            self._options.ready_s,
            concurrency=self._options.concurrency,
            aws=place,
        )
        earlier = self._gateway.stop()
        changes.note(f"the gateway of {self._name}", partial(self._back, earlier))
        self._gateway.start(endpoints, earlier)

    def drop(self) -> None:
        """Stop it for good."""
        self._gateway.drop()

    def _back(self, earlier: EarlierGateway | None) -> None:
        self._gateway.drop()
        if earlier is not None:
            self._gateway.restart(earlier)
