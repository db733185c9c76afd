"""A package for people who deploy it themselves: archives or build contexts, a template, and how to use it."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from mopar.bundle import Bundle
from mopar.files import storage_error, temporary_folder
from mopar.platforms.aws_lambda.function_package import Architecture, FunctionPackage, PackageKind
from mopar.platforms.aws_lambda.limits import UNZIPPED_BYTES
from mopar.platforms.aws_lambda.naming import ENTRY, weights_prefix
from mopar.platforms.aws_lambda.options import LambdaOptions
from mopar.platforms.aws_lambda.stack import Stack, check_plan, stack_of
from mopar.platforms.aws_lambda.template import STATES, TEMPLATE, definition, template
from mopar.platforms.deploying import Tell
from mopar.platforms.images import GivenImages
from mopar.platforms.packages import bytes_below
from mopar.types import UsageError
from mopar.types.deployed import PackageItem

README = "README.md"

Packager = Callable[[Bundle, str, Path, LambdaOptions, Tell], tuple[FunctionPackage, ...]]
"""Makes the packages of a bundle's functions for a deployment in an empty folder."""


def function_packages(
    bundle: Bundle, name: str, into: Path, options: LambdaOptions, tell: Tell
) -> tuple[FunctionPackage, ...]:
    """The packages of a bundle's functions: with ``auto``, an image where an archive would be too large.

    Where a function runs the plan, its own is the last one, and always an archive.

    Args:
        bundle: what is packaged.
        name: of the deployment.
        into: an empty folder.
        options: of the platform.
        tell: is told each stage.

    Raises:
        UsageError, PlatformError, StorageError: as ``make_packages`` does.
    """
    from mopar.platforms.aws_lambda.entry import entry_package
    from mopar.platforms.aws_lambda.function_files import Weights
    from mopar.platforms.aws_lambda.packages import PackageSettings, make_packages  # with the engine, for packing

    architecture: Architecture = "arm64" if options.architecture == "arm64" else "x86_64"
    weights = Weights(options.bucket, weights_prefix(name)) if options.weights_in_bucket else None

    def made(kind: PackageKind) -> tuple[FunctionPackage, ...]:
        settings = PackageSettings(kind, architecture, options.base_image, options.cpu_kind or None, None, weights)
        return make_packages(bundle, settings, into / kind, tell)

    packages = _of_kind(made, options, tell)
    if not options.by_entry:
        return packages
    tell(f"packaging {ENTRY}")
    return (*packages, entry_package(bundle, architecture, options.entry_mib, into / ENTRY, emulated=options.emulate))


def _of_kind(
    made: Callable[[PackageKind], tuple[FunctionPackage, ...]], options: LambdaOptions, tell: Tell
) -> tuple[FunctionPackage, ...]:
    """The packages of a plan's functions, of the kind that the options say."""
    if options.package_kind != "auto":
        return made("image" if options.package_kind == "image" else "zip")
    packages = made("zip")
    large = {package.function for package in packages if package.unpacked_bytes > UNZIPPED_BYTES}
    if not large or options.snap_start:
        return packages
    tell(f"an image for {', '.join(sorted(large))}: unzipped, an archive would exceed {UNZIPPED_BYTES >> 20} MB")
    images = {package.function: package for package in made("image") if package.function in large}
    return tuple(images.get(package.function, package) for package in packages)


def fill_package(
    bundle: Bundle, name: str, folder: Path, options: LambdaOptions, packager: Packager, tell: Tell
) -> tuple[PackageItem, ...]:
    """Write a package to an empty folder.

    Args:
        bundle: what is packaged.
        name: of the deployment.
        folder: to write to.
        options: of the platform.
        packager: makes functions' packages.
        tell: is told each stage.

    Raises:
        UsageError: an option is wrong.
        PlatformError: a limit of Lambda is hit; names the function, the limit and what would do.
    """
    check_plan(bundle, name, options)
    try:
        with temporary_folder(f".{folder.name}.made.", folder.parent) as making:
            packages = packager(bundle, name, making, options, tell)
            stack = stack_of(bundle, name, packages, options, direct=False)
            codes = {package.function: _code(package) for package in packages}
            items = [_placed(package, folder, codes, options) for package in packages]
    except OSError as cause:
        raise storage_error(cause, folder) from cause
    for file, text in _texts(stack, codes).items():
        (folder / file).write_bytes(text)
        items.append(PackageItem(file, file, len(text)))
    return tuple(item for item in items if (folder / item.path).exists())


def _code(package: FunctionPackage) -> str:
    return f"{package.function}.zip" if package.kind == "zip" else package.function


def _placed(package: FunctionPackage, folder: Path, codes: Mapping[str, str], options: LambdaOptions) -> PackageItem:
    """Move a function's package to its place, unless the template alone is wanted."""
    code = codes[package.function]
    if not options.template_only:
        package.path.rename(folder / code)
    for stored in package.stored if not options.template_only else ():
        target = folder / "bucket" / stored.key
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copyfile(stored.path, target)
    size = bytes_below(folder / code) if not options.template_only else 0
    return PackageItem(package.function, code, size)


def _texts(stack: Stack, codes: Mapping[str, str]) -> dict[str, bytes]:
    options = stack.options
    images: Mapping[str, str] = {}
    if options.images is not None:
        made = [member.function for member in stack.members if member.package.kind == "image"]
        images = GivenImages(options.images).chosen(made)
    texts = {TEMPLATE: template(stack, images, codes)}
    if options.by_step_functions:
        texts[STATES] = definition(stack)
    texts[README] = _readme(stack, images).encode()
    return texts


def _readme(stack: Stack, images: Mapping[str, str]) -> str:
    """Three commands: check, build, deploy."""
    builds = any(member.package.kind == "image" and member.function not in images for member in stack.members)
    stored = any(member.package.stored for member in stack.members)
    region = f" --region {stack.options.region}" if stack.options.region else ""
    profile = f" --profile {stack.options.profile}" if stack.options.profile else ""
    deploy = f"sam deploy --stack-name {stack.name} --capabilities CAPABILITY_IAM --resolve-s3{region}{profile}"
    count = f"{len(stack.computing)} functions{', and one that calls them,' if stack.entry else ''}"
    built = " --resolve-image-repos" if builds else " --template-file template.yaml"
    lines = [
        f"# {stack.name} on AWS Lambda",
        "",
        f"{count} of the model {' '.join(stack.manifest.name.split())}. With the AWS SAM CLI:",
        "",
        "    sam validate --lint",
        "    sam build" if builds else "    aws sts get-caller-identity",
        f"    {deploy}{built}",
        "",
        "The second builds the images, for which docker or podman must run."
        if builds
        else "The second says whose account it will be.",
        "`template.yaml` says what is made, and what rights each function gets.",
    ]
    if stack.entry is not None:
        called = f"{stack.entry.name}:{stack.options.alias}"
        lines += [
            "",
            f"The function `{stack.entry.name}` runs the model, by calls of the others; `request.json` has its inputs:",
            "",
            f"    aws lambda invoke --function-name {called} --payload fileb://request.json answer.json",
            "",
            '`{"inputs": [{"name": .., "datatype": .., "shape": [..], "data": BASE64}, ..]}`; it answers',
            '`{"outputs": [..]}` in the same form, or `{"error": ..}` with the name of the function that failed.',
        ]
    if stored:
        lines += ["", "Functions fetch their weights, which must be there before:", ""]
        lines += [f"    aws s3 sync bucket/ s3://{stack.options.bucket}/"]
    if stack.uses_store and stack.options.bucket:
        lines += [
            "",
            f"Tensors pass through `s3://{stack.options.bucket}/mopar/{stack.name}/tensors/`.",
            "Add a lifecycle rule to the bucket that expires them after a day.",
        ]
    if stack.uses_store and not stack.options.bucket:
        lines += ["", "The stack's bucket must be empty before `sam delete`."]
    return "\n".join(lines) + "\n"


def refuse_template_only(options: LambdaOptions) -> None:
    """Raise UsageError where an option of packages was given to deploy."""
    if options.template_only:
        raise UsageError("--template-only is for mopar package: leave it out")
