"""Lambda's limits, held before anything is sent: each message names the function, the limit and what would do.

Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html, read 2026-11-28.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mopar.bundle.call_plans import Made, call_plans
from mopar.bundle.call_shapes import Shape, resolve_shape, tensor_bytes
from mopar.bundle.sent_codecs import code_ratios
from mopar.platforms.aws_lambda.function_package import FunctionPackage
from mopar.platforms.aws_lambda.options import ENTRY_MIB, LambdaOptions
from mopar.runtime.aws_lambda.wire import MOST_BODY_BYTES, encoded_bytes
from mopar.types import REQUEST, Function, Manifest, PlatformError, TensorSpec

MEMORY_MIN_MIB, MEMORY_MAX_MIB = 128, 10240
DIRECT_ZIP_BYTES = 50 << 20
UNZIPPED_BYTES = 250 << 20
IMAGE_BYTES = 10 << 30
ENVIRONMENT_BYTES = 4 << 10
_ENTRY_BASE_MIB = 64
"""Of a function that runs the plan, before any request."""
_OF_ENVELOPE = 4096
"""What a message holds beside its tensors: names and shapes."""
_NAME = re.compile(r"[A-Za-z0-9-_]{1,64}")
_MB = 1 << 20


@dataclass(frozen=True, slots=True)
class CallBytes:
    """What a call passes in messages.

    Attributes:
        id, function: of the call.
        read, made: bytes of the tensors that it reads and makes; None where they do not follow from the request.
        sources: the tensors that it reads, or reads regions of.
        read_saved, made_saved: bytes that these are fewer in messages, at least, by what the plan expects of codecs.
    """

    id: str
    function: str
    read: int | None
    made: int | None
    sources: tuple[Made, ...] = ()
    read_saved: int = 0
    made_saved: int = 0


def check_function(function: Function) -> None:
    """Raise PlatformError where Lambda sells no function of this size."""
    if not MEMORY_MIN_MIB <= function.memory_mib <= MEMORY_MAX_MIB:
        raise PlatformError(
            f"function {function.name} has a memory of {function.memory_mib} MiB, and Lambda sells {MEMORY_MIN_MIB} to "
            f"{MEMORY_MAX_MIB} MB: plan with --platform aws-lambda"
        )


def check_name(function: str, name: str) -> None:
    """Raise PlatformError where Lambda takes no function of this name."""
    if not _NAME.fullmatch(name):
        raise PlatformError(
            f"function {function} would be called {name!r}, and Lambda takes 64 letters, digits, hyphens and "
            "underscores: choose a shorter --name"
        )


def check_package(package: FunctionPackage, options: LambdaOptions, *, direct: bool) -> None:
    """Raise PlatformError where Lambda does not take a package; ``direct`` if it is sent by nobody else."""
    name = package.function
    if package.kind == "image" and package.unpacked_bytes > IMAGE_BYTES:
        raise _too_large(
            name, "image", package.unpacked_bytes, IMAGE_BYTES, "plan with --platform aws-lambda, which cuts"
        )
    if package.kind == "zip" and package.unpacked_bytes > UNZIPPED_BYTES:
        what = "--package-kind image, or plan with --platform aws-lambda, which cuts the model"
        raise _too_large(name, "unzipped archive", package.unpacked_bytes, UNZIPPED_BYTES, what)
    if package.kind == "zip" and package.packed_bytes > DIRECT_ZIP_BYTES and direct and not options.bucket:
        what = "name a bucket to send it through, --bucket, or --package-kind image"
        raise _too_large(name, "archive, sent directly,", package.packed_bytes, DIRECT_ZIP_BYTES, what)
    if package.stored and not options.bucket:
        raise PlatformError(f"function {name} fetches its weights from a bucket: name it with --bucket")
    if options.snap_start and package.kind == "image":
        raise PlatformError(f"function {name} is an image, which has no SnapStart: leave out --snap-start")
    check_environment(name, package.environment)


def check_environment(name: str, variables: Mapping[str, str], would_do: str = "shorten them") -> None:
    """Raise PlatformError where Lambda does not take so many variables; says what would do."""
    held = sum(len(key.encode()) + len(value.encode()) for key, value in variables.items())
    if held > ENVIRONMENT_BYTES:
        raise PlatformError(
            f"function {name} has {held} bytes of environment variables, and Lambda takes {ENVIRONMENT_BYTES}: "
            f"{would_do}"
        )


def check_payloads(calls: Sequence[CallBytes], options: LambdaOptions) -> None:
    """Raise PlatformError where a call of the largest request does not fit into a message, and there is no bucket."""
    if options.bucket:
        return
    for call in calls:
        sizes = ((call.read, call.read_saved), (call.made, call.made_saved))
        for what, (nbytes, saved) in zip(("is sent", "answers"), sizes, strict=True):
            encoded = _message_bytes(nbytes - saved if nbytes else 0)
            if encoded > MOST_BODY_BYTES:
                raise PlatformError(
                    f"function {call.function} {what} {encoded / 1e6:.1f} MB in call {call.id}, and Lambda passes "
                    f"{MOST_BODY_BYTES / 1e6:.1f} MB: name a bucket for larger tensors, --bucket, or plan with "
                    "--platform aws-lambda"
                )


def check_entry_memory(calls: Sequence[CallBytes], request: CallBytes, memory_mib: int) -> None:
    """Raise PlatformError where a function that runs the plan cannot hold what passes through it.

    Each tensor that a message holds is there, and in the message of a call that reads it. Where sizes are not known, a
    message is taken to be full.
    """
    sizes = (request.read, *(call.made for call in calls))
    made = [MOST_BODY_BYTES if nbytes is None else min(nbytes, MOST_BODY_BYTES) for nbytes in sizes]
    needed_mib = _ENTRY_BASE_MIB + -(-sum(nbytes + encoded_bytes(nbytes) for nbytes in made) // _MB)
    if needed_mib > memory_mib:
        raise PlatformError(
            f"function {request.function} has {memory_mib} MiB, and needs {needed_mib} for the tensors of a request: "
            f"--entry-mib {needed_mib} (plans price {ENTRY_MIB})"
        )


def needing_store(calls: Sequence[CallBytes], request: CallBytes | None = None) -> frozenset[str]:
    """The functions with a call that may not fit into a message, or that reads what another may have stored.

    Args:
        calls: of the plan.
        request: what a function that runs the plan is sent and answers; None where none does.
    """
    made = {call.id for call in calls if may_exceed(call.made)}
    if request is not None and may_exceed(request.read):
        made.add(REQUEST)
    read = {source for call in calls if may_exceed(call.read) for source in call.sources}
    found = frozenset(
        call.function
        for call in calls
        if call.id in made
        or may_exceed(call.read)
        or any(source in read or source[1] in made for source in call.sources)
    )
    # What runs the plan stores what does not fit into a call, or into its own answer.
    storing = request is not None and (bool(found) or may_exceed(request.made))
    return found | {request.function} if storing and request is not None else found


def bytes_of_calls(manifest: Manifest) -> tuple[CallBytes, ...]:
    """The calls of the largest request that the plan answers."""
    shapes = _shapes(manifest)
    found = []
    for plan in call_plans(manifest):
        known = plan.shapes(shapes)
        read, made = _sizes(plan.graph.inputs, known.inputs), _sizes(plan.graph.outputs, known.outputs)
        ratios = code_ratios(manifest.plan, manifest.codes)
        found.append(
            CallBytes(
                plan.call.id,
                plan.call.function,
                _total(read),
                _total(made),
                plan.sources,
                _saved(read, [name for name, _ in plan.sources], ratios),
                _saved(made, plan.call.outputs, ratios),
            )
        )
    return tuple(found)


def bytes_of_request(manifest: Manifest, function: str) -> CallBytes:
    """The largest request itself, as a call of a function that runs the plan."""
    shapes = _shapes(manifest)
    read = _total(_sizes(manifest.inputs, [shapes[spec.name, REQUEST] for spec in manifest.inputs]))
    made = _total(_sizes(manifest.outputs, [shapes[made] for made in manifest.plan.outputs]))
    return CallBytes(REQUEST, function, read, made)


def _shapes(manifest: Manifest) -> Mapping[Made, Shape | None]:
    """The shapes of all tensors of the largest request; None where one does not follow from the inputs'."""
    shapes: dict[Made, Shape | None] = {(name, REQUEST): shape for name, shape in _largest(manifest).items()}
    for plan in call_plans(manifest):
        made = plan.shapes(shapes).outputs
        shapes |= {(spec.name, plan.call.id): shape for spec, shape in zip(plan.graph.outputs, made, strict=True)}
    return shapes


def _sizes(specs: Sequence[TensorSpec], shapes: Sequence[Shape | None]) -> list[int | None]:
    """Bytes of tensors; None where they are not known."""
    pairs = zip(specs, shapes, strict=True)
    return [None if shape is None else tensor_bytes(spec.dtype, shape) for spec, shape in pairs]


def _saved(sizes: Sequence[int | None], names: Sequence[str], ratios: Mapping[str, float]) -> int:
    """Bytes that tensors are fewer as codes."""
    return sum(int((size or 0) * (1.0 - ratios.get(name, 1.0))) for size, name in zip(sizes, names, strict=True))


def _total(sizes: Sequence[int | None]) -> int | None:
    return None if None in sizes else sum(size or 0 for size in sizes)


def _largest(manifest: Manifest) -> dict[str, Shape | None]:
    """The largest shape of each of the model's inputs; None where it is not known."""
    ranges = {item.name: item.largest for item in manifest.plan.ranges}
    return {spec.name: ranges.get(spec.name, resolve_shape(spec, {})) for spec in manifest.inputs}


def may_exceed(nbytes: int | None) -> bool:
    """Whether a message may have no room for so many bytes of tensors; None where that is not known."""
    return nbytes is None or _message_bytes(nbytes) > MOST_BODY_BYTES


def _message_bytes(nbytes: int) -> int:
    return encoded_bytes(nbytes) + _OF_ENVELOPE


def _too_large(name: str, what: str, nbytes: int, limit: int, would_do: str) -> PlatformError:
    return PlatformError(
        f"function {name}: its {what} has {nbytes / _MB:.1f} MB, and Lambda takes {limit / _MB:.0f} MB: {would_do}"
    )
