"""A deployment as it is to be: what the template describes, and what is made directly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from mopar.bundle import Bundle
from mopar.bundle.call_plans import call_plans
from mopar.platforms.aws_lambda.function_package import FunctionPackage
from mopar.platforms.aws_lambda.limits import (
    CallBytes,
    bytes_of_calls,
    bytes_of_request,
    check_entry_memory,
    check_environment,
    check_function,
    check_package,
    check_payloads,
    needing_store,
)
from mopar.platforms.aws_lambda.naming import (
    ALIAS_TAG,
    DEPLOYMENT_TAG,
    ENTRY,
    FUNCTION_TAG,
    MODEL_TAG,
    Place,
    function_names,
    tensors_prefix,
)
from mopar.platforms.aws_lambda.options import LambdaOptions
from mopar.platforms.aws_lambda.policies import Statement, entry_statements, function_statements
from mopar.platforms.aws_lambda.states import EXPRESS_S, Targets, state_machine
from mopar.platforms.endpoints import FUNCTIONS_VARIABLE, LAMBDA, AwsPlace, Endpoints
from mopar.runtime.aws_lambda.wire import MOST_S
from mopar.types import Manifest, UsageError

_MIB_PER_VCPU = 1769.0
_MOST_VCPUS = 6.0
_LONGEST, _VERSION = Place("aws-us-gov", "ap-southeast-1", "0" * 12), "999999"
"""As long as a function's place and version may be."""


@dataclass(frozen=True, slots=True)
class Member:
    """A function of a deployment.

    Attributes:
        name: as Lambda knows it.
        package: what it runs.
        uses_store: whether its tensors may pass through a bucket.
        timeout_s: most seconds of a call.
        calls: names of the functions that it calls, of a function that runs the plan.
    """

    name: str
    package: FunctionPackage
    uses_store: bool
    timeout_s: int
    calls: tuple[str, ...] = ()

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
        members: its functions, in the plan's order; the last one runs the plan where a function does.
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

    @property
    def entry(self) -> Member | None:
        """The function that runs the plan."""
        return self.members[-1] if self.options.by_entry else None

    @property
    def computing(self) -> tuple[Member, ...]:
        """The functions of the plan."""
        return self.members[:-1] if self.options.by_entry else self.members

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
        if member.calls:
            return entry_statements(place, self.name, member.name, store, member.calls)
        return function_statements(place, self.name, member.name, store, bucket, weights)

    def definition(self, functions: Mapping[str, str], partition: str, bucket: str) -> bytes:
        """The state machine's definition; ``functions`` says what is called. Raises PlatformError."""
        prefix, timeout_s = tensors_prefix(self.name), self.options.timeout_s
        return state_machine(self.manifest, Targets(functions, bucket, prefix, partition, timeout_s))

    def entry_endpoints(self, functions: Mapping[str, str], bucket: str) -> str:
        """What the function that runs the plan is told of the others, as JSON; ``functions`` says what is called."""
        uses_store = bool(self.members[-1].uses_store)
        place = AwsPlace(bucket=bucket, prefix=tensors_prefix(self.name)) if uses_store else AwsPlace()
        places: dict[str, tuple[str, ...]] = {function: (called,) for function, called in functions.items()}
        return msgspec.json.encode(Endpoints(places, LAMBDA, aws=place)).decode()


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
    if options.by_step_functions:
        return
    calls, requests = bytes_of_calls(bundle.manifest), _requests(bundle.manifest, options)
    check_payloads([*calls, *requests], options)
    for request in requests:
        check_entry_memory(calls, request, options.entry_mib)


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
    names = function_names(name, [package.function for package in packages])
    for package in packages:
        check_package(package, options, direct=direct)
    storing = frozenset(names)
    if not options.by_step_functions:
        storing = needing_store(bytes_of_calls(manifest), *_requests(manifest, options))
    has_bucket = bool(options.bucket) or options.by_step_functions
    members = [
        Member(names[package.function], package, has_bucket and package.function in storing, options.timeout_s)
        for package in packages
    ]
    if options.by_entry:
        called = tuple(member.name for member in members[:-1])
        members[-1] = replace(members[-1], timeout_s=_request_s(manifest, options), calls=called)
    stack = Stack(name, manifest, tuple(members), options)
    if not options.emulate:
        _check_addresses(stack, direct=direct)
    return stack


def _check_addresses(stack: Stack, *, direct: bool) -> None:
    """Raise PlatformError where a function that runs the plan has no room for the addresses of those that it calls.

    What deploys directly names functions of the entry's own account, and a template has their ARNs.
    """
    if stack.entry is None:
        return
    called = max(stack.options.alias, _VERSION, key=len)
    places = {one.function: one.name if direct else _LONGEST.function(one.name) for one in stack.computing}
    told = stack.entry_endpoints({name: f"{place}:{called}" for name, place in places.items()}, stack.options.bucket)
    check_environment(
        stack.entry.function,
        {**stack.entry.package.environment, FUNCTIONS_VARIABLE: told},
        "plan with --max-functions, choose a shorter --name, or --orchestration gateway",
    )


def _requests(manifest: Manifest, options: LambdaOptions) -> tuple[CallBytes, ...]:
    """The largest request to the function that runs the plan; nothing where none does."""
    return (bytes_of_request(manifest, ENTRY),) if options.by_entry else ()


def _request_s(manifest: Manifest, options: LambdaOptions) -> int:
    """Most seconds of a request: as many as the calls that wait for each other may take, of what Lambda allows."""
    depths: dict[str, int] = {}
    for plan in call_plans(manifest):
        depths[plan.call.id] = 1 + max((depths[made] for made in plan.producers), default=0)
    return min(max(depths.values(), default=1) * options.timeout_s, MOST_S)


def vcpus_of(memory_mib: int) -> float:
    """The CPUs that memory buys."""
    return round(min(memory_mib / _MIB_PER_VCPU, _MOST_VCPUS), 3)


def tag_value(text: str) -> str:
    """A text with what tags cannot hold replaced."""
    return "".join(letter if letter.isalnum() or letter in " _.:/=+-@" else "-" for letter in text)[:256]
