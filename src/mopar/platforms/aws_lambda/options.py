"""Options of deployments to AWS Lambda."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from mopar.platforms.aws_lambda.function_package import Architecture
from mopar.platforms.images import ImageOptions
from mopar.types import UsageError

ARCHITECTURES: tuple[Architecture, ...] = ("x86_64", "arm64")
KINDS = ("auto", "zip", "image")
ORCHESTRATIONS = ("gateway", "step-functions", "entry")
ENTRY_MIB = 512
"""Memory of an entry function by default (docs/decisions/lambda-orchestration.md)."""
RETENTIONS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)
"""Days that CloudWatch keeps log events for: no other number is taken."""
RESERVED_TAGS = ("aws:", "mopar:")

_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-[0-9]")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ALIAS = re.compile(r"(?!^[0-9]+$)[A-Za-z0-9_-]{1,128}")
_TAG_KEY, _TAG_VALUE = re.compile(r"[\w .:/=+@-]{1,128}"), re.compile(r"[\w .:/=+@-]{0,256}")
_MOST_TAGS = 45
"""Lambda takes 50, and some are mopar's own."""


@dataclass(frozen=True, slots=True)
class LambdaOptions(ImageOptions):
    """What ``mopar package`` and ``mopar deploy --platform aws-lambda`` take."""

    region: Annotated[str, Meta(description="such as eu-central-1; default: $AWS_REGION, or the profile's")] = ""
    profile: Annotated[str, Meta(description="of ~/.aws/config; default: $AWS_PROFILE, or the environment's keys")] = ""
    role: Annotated[
        str, Meta(description="ARN of a role that all functions get; default: one of its own is made for each")
    ] = ""
    states_role: Annotated[
        str, Meta(description="ARN of the state machine's role with step-functions; default: one is made")
    ] = ""
    bucket: Annotated[
        str, Meta(description="S3 bucket for zips over 50 MB, and for tensors that exceed a call's 6 MB")
    ] = ""
    architecture: Annotated[str, Meta(description="x86_64, the default, or arm64")] = "x86_64"
    package_kind: Annotated[
        str, Meta(description="zip, image, or auto, the default: an image where a zip would be too large")
    ] = "auto"
    cpu_kind: Annotated[
        str,
        Meta(
            description="add graphs packed for this kind of processor: a folder in the bundle's packed/; default: none"
        ),
    ] = ""
    weights_in_bucket: Annotated[
        bool, Meta(description="functions fetch their weights from --bucket when they start, packages have none")
    ] = False
    orchestration: Annotated[
        str, Meta(description="what runs the plan: gateway (mopar's own, the default), step-functions or entry")
    ] = "gateway"
    entry_mib: Annotated[
        int, Meta(ge=128, le=10240, description=f"memory of the entry function; default: {ENTRY_MIB}")
    ] = ENTRY_MIB
    alias: Annotated[str, Meta(description="that points to the version that answers; default: live")] = "live"
    log_retention_days: Annotated[int, Meta(description="after which log events are deleted; default: 14")] = 14
    timeout_s: Annotated[int, Meta(ge=1, le=900, description="most seconds of a call; default: 60")] = 60
    ephemeral_mib: Annotated[int, Meta(ge=512, le=10240, description="size of /tmp; 512, the default, is free")] = 512
    reserved_concurrency: Annotated[
        int,
        Meta(ge=0, description="of each function: taken from the account's, and its limit; 0, the default, for none"),
    ] = 0
    provisioned_concurrency: Annotated[
        int, Meta(ge=0, description="instances of each function that are kept ready, and billed; default: 0")
    ] = 0
    snap_start: Annotated[bool, Meta(description="start zips from a snapshot, where it is billed in the region")] = (
        False
    )
    tag: Annotated[tuple[str, ...], Meta(description="KEY=VALUE, of everything that is made; repeatable")] = ()
    template_only: Annotated[
        bool, Meta(description="package: write the template and the state machine, without archives and contexts")
    ] = False
    emulate: Annotated[
        bool, Meta(description="run the functions on this machine, each on Amazon's emulator under what it buys")
    ] = False
    functions_only: Annotated[bool, Meta(description="start no gateway here that calls the functions")] = False
    concurrency: Annotated[
        int, Meta(ge=1, le=10000, description="calls of each function that the gateway makes at a time")
    ] = 100
    host: Annotated[str, Meta(description="address that the gateway in the background listens on")] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65535, description="its port; 0, the default, for any, or the earlier one's")
    ] = 0
    token_file: Annotated[Path | None, Meta(description="file with the token that its requests must send")] = None
    ready_s: Annotated[
        float,
        Meta(gt=0, le=3600, description="seconds that each step may take until functions are ready; default: 300"),
    ] = 300.0

    @property
    def tags(self) -> dict[str, str]:
        """The user's own tags."""
        pairs = (text.partition("=") for text in self.tag)
        return {key: value for key, _, value in pairs}

    @property
    def starts_gateway(self) -> bool:
        """Whether mopar's gateway is started, in the background of this machine."""
        return self.emulate or not (self.by_step_functions or self.by_entry or self.functions_only)

    @property
    def by_step_functions(self) -> bool:
        """Whether a state machine runs the plan."""
        return self.orchestration == "step-functions"

    @property
    def by_entry(self) -> bool:
        """Whether a function of its own runs the plan."""
        return self.orchestration == "entry"


def check_options(options: LambdaOptions) -> LambdaOptions:
    """These options. Raises UsageError where one has a value that it cannot have, or two do not go together."""
    for flag, value, known in (
        ("--architecture", options.architecture, ARCHITECTURES),
        ("--package-kind", options.package_kind, KINDS),
        ("--orchestration", options.orchestration, ORCHESTRATIONS),
        ("--log-retention-days", options.log_retention_days, RETENTIONS),
    ):
        if value not in known:
            raise UsageError(f"{flag} {value}: choose from {', '.join(map(str, known))}")
    for flag, text, form, example in (
        ("--region", options.region, _REGION, "eu-central-1"),
        ("--role", options.role, _ROLE, "arn:aws:iam::123456789012:role/NAME"),
        ("--states-role", options.states_role, _ROLE, "arn:aws:iam::123456789012:role/NAME"),
        ("--bucket", options.bucket, _BUCKET, "my-models"),
    ):
        if text and not form.fullmatch(text):
            raise UsageError(f"{flag} {text!r}: write it like {example}")
    if not _ALIAS.fullmatch(options.alias):
        raise UsageError(f"--alias {options.alias!r}: write letters, digits, hyphens and underscores, not digits alone")
    _check_tags(options)
    _check_together(options)
    return options


def _check_tags(options: LambdaOptions) -> None:
    for text in options.tag:
        key, given, value = text.partition("=")
        if not given or not _TAG_KEY.fullmatch(key) or not _TAG_VALUE.fullmatch(value):
            raise UsageError(f"--tag {text!r}: write KEY=VALUE, of letters, digits, spaces and _.:/=+-@")
        if key.lower().startswith(RESERVED_TAGS):
            raise UsageError(f"--tag {text!r}: keys that begin with {' or '.join(RESERVED_TAGS)} are taken")
    if len(options.tags) < len(options.tag):
        raise UsageError("--tag: a key is given twice")
    if len(options.tag) > _MOST_TAGS:
        raise UsageError(f"--tag is given {len(options.tag)} times: {_MOST_TAGS} is the most")


def _check_together(options: LambdaOptions) -> None:
    if options.states_role and not options.by_step_functions:
        raise UsageError("--states-role is the state machine's: leave it out, or add --orchestration step-functions")
    if options.entry_mib != ENTRY_MIB and not options.by_entry:
        raise UsageError("--entry-mib is the entry function's: leave it out, or add --orchestration entry")
    if options.emulate:
        _check_emulated(options)
    if options.weights_in_bucket and not options.bucket:
        raise UsageError("--weights-in-bucket needs a bucket: name it with --bucket")
    if options.snap_start and options.provisioned_concurrency:
        raise UsageError("--snap-start and --provisioned-concurrency exclude each other on Lambda: leave one out")
    if options.snap_start and options.ephemeral_mib > 512:
        raise UsageError(
            f"--snap-start takes 512 MiB of ephemeral storage, --ephemeral-mib says {options.ephemeral_mib}"
        )
    if options.snap_start and options.package_kind == "image":
        raise UsageError("--snap-start is for zips on a managed runtime: leave it out, or --package-kind zip")
    reserved = options.reserved_concurrency
    if reserved and options.provisioned_concurrency > reserved:
        raise UsageError(
            f"--provisioned-concurrency {options.provisioned_concurrency} is more than --reserved-concurrency "
            f"{reserved}"
        )


def _check_emulated(options: LambdaOptions) -> None:
    """Raise UsageError where an option is for Lambda itself."""
    for flag, given in (
        ("--orchestration step-functions", options.by_step_functions),
        ("--functions-only", options.functions_only),
        ("--weights-in-bucket", options.weights_in_bucket),
    ):
        if given:
            raise UsageError(f"{flag} is for functions on Lambda itself: leave it out with --emulate")
    own = "arm64" if os.uname().machine == "aarch64" else "x86_64"
    if options.architecture != own:
        raise UsageError(f"--architecture {options.architecture}: this machine, which emulates, is {own}")
