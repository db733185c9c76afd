"""Bundles on AWS Lambda: packaged with a template, deployed directly, looked at and removed."""

import time
from pathlib import Path

from mopar.bundle import Bundle
from mopar.files import temporary_folder
from mopar.platforms.aws_lambda.account import Account
from mopar.platforms.aws_lambda.deploying import Deploying
from mopar.platforms.aws_lambda.found import deployed_of, present_functions
from mopar.platforms.aws_lambda.machine import DeploymentMachine
from mopar.platforms.aws_lambda.options import LambdaOptions, check_options
from mopar.platforms.aws_lambda.packaging import Packager, fill_package, function_packages, refuse_template_only
from mopar.platforms.aws_lambda.registry import RegistryImages
from mopar.platforms.aws_lambda.removing import remove_all
from mopar.platforms.aws_lambda.stack import check_plan, stack_of
from mopar.platforms.deploying import Tell
from mopar.platforms.gateways import BackgroundGateways
from mopar.platforms.packages import write_package
from mopar.types import UsageError
from mopar.types.deployed import Deployed, Packaged, PackageItem, Removed


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

        def fill(folder: Path) -> tuple[PackageItem, ...]:
            return fill_package(bundle, name, folder, options, self._packager, tell)

        return write_package(into, self.name, fill)

    def deploy(self, bundle: Bundle, name: str, options: LambdaOptions, tell: Tell) -> Deployed:
        """Create or update the functions, try them, and have them answer; or change nothing that answers."""
        began = time.monotonic()
        options = check_options(options)
        refuse_template_only(options)
        check_plan(bundle, name, options)
        if options.by_step_functions and not options.bucket:
            raise UsageError(
                "--orchestration step-functions passes tensors through S3, as a state machine holds 256 KiB: name a "
                "bucket with --bucket"
            )
        account = Account(options.region, options.profile)
        tell(f"deploying to account {account.place.account} in {account.region}")
        with BackgroundGateways(self.name).changing(name), temporary_folder("mopar-lambda-") as making:
            packages = self._packager(bundle, name, Path(making), options, tell)
            stack = stack_of(bundle, name, packages, options, direct=True)
            present = Deploying(account, stack, RegistryImages(account, tell).push, tell).run()
        return deployed_of(account, name, present, options.ready_s, began, answers=True)

    def status(self, name: str, options: LambdaOptions) -> Deployed:
        """The functions as Lambda tells of them."""
        began = time.monotonic()
        options = check_options(options)
        account = Account(options.region, options.profile)
        present = present_functions(account, name)
        if not present:
            raise _nothing(name, account)
        machine = DeploymentMachine(account, name, options.ready_s).find()
        answers = machine is None or machine.status == "ACTIVE"
        return deployed_of(account, name, present, options.ready_s, began, answers=answers)

    def remove(self, name: str, options: LambdaOptions, tell: Tell) -> Removed:
        """Delete functions, roles, log groups and the state machine; with ``--bucket``, what is in it too."""
        options = check_options(options)
        account = Account(options.region, options.profile)
        with BackgroundGateways(self.name).changing(name):
            removed = remove_all(account, name, options, tell)
        if removed is None:
            raise _nothing(name, account)
        return removed


def _nothing(name: str, account: Account) -> UsageError:
    return UsageError(
        f"nothing is deployed to account {account.place.account} in {account.region} as {name}: see mopar deploy --help"
    )


PLATFORM = AwsLambda()
