"""All images of a bundle, and the build context that holds their layers."""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from mopar.bundle import Bundle
from mopar.bundle.sent_codecs import functions_that_encode, sent_codecs
from mopar.files import require_room
from mopar.platforms.container.images.function import function_layer, packed_kind
from mopar.platforms.container.images.gateway import GatewayPlan, gateway_layer
from mopar.platforms.container.images.image import LAYERS, Image, environment, gateway_command, http_command
from mopar.platforms.container.images.layers import Layer
from mopar.platforms.container.images.modules import codec_layer, runtime_layer, serving_layer
from mopar.platforms.container.images.paths import JOB
from mopar.platforms.container.images.python import python_layer
from mopar.runtime.environment import environment_of
from mopar.types import BundleError

GATEWAY = "gateway"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
IGNORED = "*\n!layers\n"
"""Of the build context; without such a file an engine would apply the user's own."""


def function_images(bundle: Bundle, base: str | None, tell: Callable[[str], None]) -> tuple[Image, ...]:
    """An image for each function, in the plan's order.

    Args:
        bundle: prepared for this machine.
        base: image with a python3 to build upon; None for this machine's own Python.
        tell: is told of long work.

    Raises:
        BundleError: a function's name is none that files and images can have.
        PlatformError: Python or the engine cannot be taken from this machine.
        OSError: a file cannot be read or written.
    """
    for function in bundle.manifest.plan.functions:
        if not _NAME.fullmatch(function.name) or function.name == GATEWAY:
            raise BundleError(f"function {function.name!r}: no name for an image: use letters, digits and hyphens")
    tell("collecting Python and ONNX Runtime")
    shared = (*(() if base else (python_layer(),)), runtime_layer())
    variables = environment(environment_of(bundle.manifest.allocator), base)
    kind = packed_kind(bundle)
    packed = f"packed for {kind}, and portable for any other CPU" if kind else "portable"
    encode = functions_that_encode(bundle.manifest)
    codecs = (codec_layer(),) if encode else ()
    return tuple(
        Image(
            function.name,
            (*shared, *(codecs if function.name in encode else ()), function_layer(bundle, function)),
            variables,
            http_command(base),
            base,
            f"Function {function.name} of {bundle.manifest.name}: its graphs are {packed}.",
        )
        for function in bundle.manifest.plan.functions
    )


def gateway_image(bundle: Bundle, plan: GatewayPlan) -> Image:
    """The gateway's image. Raises PlatformError, OSError."""
    codecs = (codec_layer(),) if sent_codecs(bundle.manifest.plan, bundle.manifest.codes) else ()
    layers = (python_layer(), serving_layer(), *codecs, gateway_layer(bundle, plan))
    comment = f"The gateway of {bundle.manifest.name}."
    return Image(GATEWAY, layers, environment({"LANG": "C.UTF-8"}, None), gateway_command(JOB), None, comment)


def write_context(layers: Iterable[Layer], containerfiles: Mapping[str, str], into: Path) -> None:
    """Write a build context.

    Args:
        layers: what Containerfiles copy; one that comes several times is written once.
        containerfiles: name -> text.
        into: a folder, which is made where it is not there.

    Raises:
        OSError: the disk is full, or a file cannot be read or written.
    """
    named = {layer.name: layer for layer in layers}
    into.mkdir(parents=True, exist_ok=True)
    require_room(into, sum(layer.bytes for layer in named.values()))
    (into / LAYERS).mkdir()
    for layer in named.values():
        layer.write(into / LAYERS / layer.name)
    for name, text in containerfiles.items():
        (into / name).write_text(text)
    (into / ".dockerignore").write_text(IGNORED)


def containerfile_name(image: Image) -> str:
    """The name of an image's Containerfile in the context."""
    return f"Containerfile.{image.name}"
