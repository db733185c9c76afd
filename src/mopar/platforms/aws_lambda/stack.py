"""A deployment as it is to be: what the template describes, and what is made directly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mopar.bundle import Bundle
from mopar.platforms.aws_lambda.function_package import FunctionPackage
from mopar.platforms.aws_lambda.limits import (
    bytes_of_calls,
    check_function,
    check_package,
    check_payloads,
    needing_store,
)
from mopar.platforms.aws_lambda.naming import (
    ALIAS_TAG,
    DEPLOYMENT_TAG,
    FUNCTION_TAG,
    MODEL_TAG,
    Place,
    function_names,
    tensors_prefix,
)
from mopar.platforms.aws_lambda.options import LambdaOptions
from mopar.platforms.aws_lambda.policies import Statement, function_statements
from mopar.platforms.aws_lambda.states import EXPRESS_S, Targets, state_machine
from mopar.types import Manifest, UsageError

_MIB_PER_VCPU = 1769.0
_MOST_VCPUS = 6.0


@dataclass(frozen=True, slots=True)
class Member:
    """A function of a deployment.

    Attributes:
        name: as Lambda knows it.
        package: what it runs.
        uses_store: whether its tensors may pass through a bucket.
    """

    name: str
    package: FunctionPackage
    uses_store: bool

    @property
    def function(self) -> str:
        """As the plan names it."""
        return self.package.function


@dataclass(frozen=True, slots=True)
class Stack:
    """A deployment.

    Attributes:
        name: of the deployment.
        manifest: of the bundle.
        members: its functions, in the plan's order.
        options: of the platform.
    """

    name: str
    manifest: Manifest
    members: tuple[Member, ...]
    options: LambdaOptions

    @property
    def uses_store(self) -> bool:
        """Whether tensors may pass through a bucket."""
        return any(member.uses_store for member in self.members)

    def tags(self, function: str = "") -> dict[str, str]:
        """Of everything that is made; ``function`` is whose it is, if of one alone."""
        own = {FUNCTION_TAG: function, ALIAS_TAG: self.options.alias} if function else {}
        return {**self.options.tags, DEPLOYMENT_TAG: self.name, **own}

    def machine_tags(self) -> dict[str, str]:
        """Of the state machine."""
        return {**self.tags(), MODEL_TAG: tag_value(self.manifest.name)}

    def statements(self, member: Member, place: Place, bucket: str) -> tuple[Statement, ...]:
        """What a function may do."""
        weights = [stored.key for stored in member.package.stored]
        store = bucket if member.uses_store else ""
        return function_statements(place, self.name, member.name, store, bucket, weights)

    def definition(self, functions: Mapping[str, str], partition: str, bucket: str) -> bytes:
        """The state machine's definition; ``functions`` says what is called. Raises PlatformError."""
        prefix, timeout_s = tensors_prefix(self.name), self.options.timeout_s
        return state_machine(self.manifest, Targets(functions, bucket, prefix, partition, timeout_s))


def check_plan(bundle: Bundle, name: str, options: LambdaOptions) -> None:
    """Hold a plan against what Lambda sells and takes, before anything is built.

    Raises:
        UsageError: an option does not fit.
        PlatformError: names the function, the limit and what would do.
    """
    functions = bundle.manifest.plan.functions
    function_names(name, [function.name for function in functions])
    for function in functions:
        check_function(function)
    if options.by_step_functions and options.timeout_s > EXPRESS_S:
        raise UsageError(f"--timeout-s {options.timeout_s}: an Express workflow ends after {EXPRESS_S} s")
    if not options.by_step_functions:
        check_payloads(bytes_of_calls(bundle.manifest), options)


def stack_of(
    bundle: Bundle, name: str, packages: Sequence[FunctionPackage], options: LambdaOptions, *, direct: bool
) -> Stack:
    """A deployment of these packages.

    Args:
        bundle: that they hold.
        name: of the deployment.
        packages: of its functions.
        options: of the platform.
        direct: whether archives are sent to Lambda itself, unless there is a bucket.

    Raises:
        PlatformError: Lambda takes no such package; names the function, the limit and what would do.
    """
    manifest = bundle.manifest
    names = function_names(name, [function.name for function in manifest.plan.functions])
    for package in packages:
        check_package(package, options, direct=direct)
    storing = frozenset(names) if options.by_step_functions else needing_store(bytes_of_calls(manifest))
    has_bucket = bool(options.bucket) or options.by_step_functions
    members = tuple(
        Member(names[package.function], package, has_bucket and package.function in storing) for package in packages
    )
    return Stack(name, manifest, members, options)


def vcpus_of(memory_mib: int) -> float:
    """The CPUs that memory buys."""
    return round(min(memory_mib / _MIB_PER_VCPU, _MOST_VCPUS), 3)


def tag_value(text: str) -> str:
    """A text with what tags cannot hold replaced."""
    return "".join(letter if letter.isalnum() or letter in " _.:/=+-@" else "-" for letter in text)[:256]
