"""Bundles on AWS Lambda: packaged with a template, deployed directly, looked at and removed."""

import time
from pathlib import Path

from mopar.bundle import Bundle
from mopar.files import temporary_folder
from mopar.platforms.aws_lambda.account import Account
from mopar.platforms.aws_lambda.deploying import Deploying
from mopar.platforms.aws_lambda.emulated import deploy_emulated, emulated_status, remove_emulated
from mopar.platforms.aws_lambda.found import deployed_of, present_functions
from mopar.platforms.aws_lambda.machine import DeploymentMachine
from mopar.platforms.aws_lambda.options import LambdaOptions, check_options
from mopar.platforms.aws_lambda.packaging import Packager, fill_package, function_packages, refuse_template_only
from mopar.platforms.aws_lambda.passed_codes import with_passed_codes
from mopar.platforms.aws_lambda.registry import RegistryImages
from mopar.platforms.aws_lambda.removing import remove_all
from mopar.platforms.aws_lambda.serving import LambdaGateway, check_credentials
from mopar.platforms.aws_lambda.stack import check_plan, stack_of
from mopar.platforms.deploying import Tell
from mopar.platforms.gateways import BackgroundGateways
from mopar.platforms.health import answers
from mopar.platforms.images import GATEWAY
from mopar.platforms.packages import write_package
from mopar.types import UsageError
from mopar.types.deployed import Deployed, GatewayAddress, Packaged, PackageItem, Removed


class AwsLambda:
    """Implements ``Platform``.

    Args:
        packager: makes functions' packages.
    """

    name = "aws-lambda"
    options = LambdaOptions

    def __init__(self, packager: Packager = function_packages) -> None:
        self._packager = packager

    def package(self, bundle: Bundle, name: str, into: Path, options: LambdaOptions, tell: Tell) -> Packaged:
        """Write archives or build contexts, ``template.yaml``, the state machine and a ``README.md``."""
        options = check_options(options)
        bundle = with_passed_codes(bundle, options)

        def fill(folder: Path) -> tuple[PackageItem, ...]:
            return fill_package(bundle, name, folder, options, self._packager, tell)

        return write_package(into, self.name, fill)

    def deploy(self, bundle: Bundle, name: str, options: LambdaOptions, tell: Tell) -> Deployed:
        """Create or update the functions, try them, and have them answer; or change nothing that answers."""
        began = time.monotonic()
        options = check_options(options)
        refuse_template_only(options)
        bundle = with_passed_codes(bundle, options)
        if options.emulate:
            return deploy_emulated(bundle, name, options, self._packager, tell)
        check_plan(bundle, name, options)
        if options.by_step_functions and not options.bucket:
            raise UsageError(
                "--orchestration step-functions passes tensors through S3, as a state machine holds 256 KiB: name a "
                "bucket with --bucket"
            )
        account = Account(options.region, options.profile)
        tell(f"deploying to account {account.place.account} in {account.region}")
        if options.starts_gateway:
            check_credentials(options)
        gateways = BackgroundGateways(self.name)
        with gateways.changing(name), temporary_folder("mopar-lambda-") as making:
            packages = self._packager(bundle, name, Path(making), options, tell)
            stack = stack_of(bundle, name, packages, options, direct=True)
            gateway = LambdaGateway(gateways, bundle, name, options, tell)
            Deploying(account, stack, RegistryImages(account, tell).push, gateway, tell).run()
        return self._found(account, name, options, began)

    def status(self, name: str, options: LambdaOptions) -> Deployed:
        """The functions as Lambda tells of them."""
        began = time.monotonic()
        options = check_options(options)
        if options.emulate:
            return emulated_status(name, began)
        return self._found(Account(options.region, options.profile), name, options, began)

    def remove(self, name: str, options: LambdaOptions, tell: Tell) -> Removed:
        """Delete functions, roles, log groups and the state machine; with ``--bucket``, what is in it too."""
        options = check_options(options)
        if options.emulate:
            return remove_emulated(name, tell)
        account, gateways = Account(options.region, options.profile), BackgroundGateways(self.name)
        with gateways.changing(name):
            record = gateways.find(name)
            if record is not None:
                tell(f"stopping the gateway of {name}")
                gateways.stop(record)
                gateways.forget(name)
            removed = remove_all(account, name, options, tell)
        if removed is None and record is None:
            raise _nothing(name, account)
        found = removed or Removed(())
        return Removed((*found.removed, *([GATEWAY] if record is not None else [])), found.left)

    def _found(self, account: Account, name: str, options: LambdaOptions, began: float) -> Deployed:
        present, record = present_functions(account, name), BackgroundGateways(self.name).find(name)
        if not present and record is None:
            raise _nothing(name, account)
        machine = DeploymentMachine(account, name, options.ready_s).find()
        ready = (machine is None or machine.status == "ACTIVE") and (
            record is None or (record.alive() and answers(record.url))
        )
        gateway = None if record is None else GatewayAddress(record.url)
        return deployed_of(account, name, present, options.ready_s, began, answers=ready, gateway=gateway)


def _nothing(name: str, account: Account) -> UsageError:
    return UsageError(
        f"nothing is deployed to account {account.place.account} in {account.region} as {name}: see mopar deploy --help"
    )


PLATFORM = AwsLambda()
