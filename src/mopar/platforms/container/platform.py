"""Deployments to containers of this machine: one for each function, and one for the gateway."""

import time
from pathlib import Path

from mopar.bundle import Bundle, prepare
from mopar.files import cache_directory, storage_error
from mopar.platforms.container.building import Built, build_images
from mopar.platforms.container.command import Commands
from mopar.platforms.container.engine import Engine
from mopar.platforms.container.found import (
    Found,
    describe,
    exists,
    find,
    found_or_raise,
    nothing_of,
    remove_all,
    remove_images,
)
from mopar.platforms.container.images.images import GATEWAY, function_images, gateway_image
from mopar.platforms.container.labels import URL, labels_of
from mopar.platforms.container.layout import check_port, free_ports, layout_of
from mopar.platforms.container.options import ContainerOptions
from mopar.platforms.container.packaging import write_package
from mopar.platforms.container.planning import gateway_plan, release_of
from mopar.platforms.container.release import Release, new_release, wait_for_answers
from mopar.platforms.container.secrets import feed_token, read_token
from mopar.platforms.deploying import Tell
from mopar.platforms.gateways import BackgroundGateways
from mopar.types import MoparError, PlatformError, UsageError
from mopar.types.deployed import Deployed, Packaged, Removed


class ContainerPlatform:
    """Implements ``Platform`` by podman or docker."""

    name = "container"
    options = ContainerOptions

    def package(self, bundle: Bundle, name: str, into: Path, options: ContainerOptions, tell: Tell) -> Packaged:
        """Write the build context of all images, and a compose file that starts them."""
        options.checked()
        return write_package(_prepared(bundle, tell), name, into, options, tell)

    def deploy(self, bundle: Bundle, name: str, options: ContainerOptions, tell: Tell) -> Deployed:
        """Build images, start a release, and remove the earlier one once the new one answers."""
        began = time.monotonic()
        options.checked()
        engine = _engine(options)
        with BackgroundGateways(self.name).changing(name):
            earlier = find(engine, name)
            try:
                _deploy(_prepared(bundle, tell), name, options, engine, earlier, tell)
            except MoparError as error:
                if earlier is None or isinstance(error, UsageError):
                    raise
                raise PlatformError(f"{error}; {name} runs as it did before") from error
            return describe(found_or_raise(engine, name), began)

    def status(self, name: str, options: ContainerOptions) -> Deployed:
        """What the engine knows of a deployment, and whether its gateway says that it is ready."""
        began = time.monotonic()
        return describe(found_or_raise(_engine(options), name), began)

    def remove(self, name: str, options: ContainerOptions, tell: Tell) -> Removed:
        """Remove containers, networks, volumes and images."""
        engine = _engine(options)
        with BackgroundGateways(self.name).changing(name):
            if not exists(engine, name):
                raise nothing_of(engine, name)
            tell(f"stopping {name}")
            return remove_all(engine, labels_of(name), keep_images=options.keep_images)


def _engine(options: ContainerOptions) -> Engine:
    return Engine(Commands(options.engine, options.runtime))


def _prepared(bundle: Bundle, tell: Tell) -> Bundle:
    tell("preparing the bundle")
    return prepare(bundle, cache_directory(), tell)


def _deploy(
    bundle: Bundle, name: str, options: ContainerOptions, engine: Engine, earlier: Found | None, tell: Tell
) -> None:
    """Replace the earlier release by a new one, or leave everything as it was."""
    token = None if options.token_file is None else read_token(options.token_file)
    if token is None and not options.on_loopback:
        tell(f"note: whoever reaches {options.host} may use the model: ask for a token with --token-file")
    held = earlier.port if earlier is not None else None
    port = options.port or held or free_ports(options.host, 1)[0]
    if port != held:
        check_port(options.host, port)
    layout = layout_of(name, new_release(), bundle, options, port)
    try:
        images = (
            *function_images(bundle, options.base_image, tell),
            gateway_image(bundle, gateway_plan(layout, bundle)),
        )
    except OSError as cause:
        raise storage_error(cause) from cause
    built = build_images(engine, name, images, tell)
    release = Release(engine, release_of(layout, bundle, built.names))
    try:
        release.start_functions(tell)
        if token is not None:
            feed_token(engine, layout, built.names[GATEWAY], token)
        if earlier is not None and earlier.gateway is not None:
            engine.stop([earlier.gateway.name])
        release.start_gateway(tell)
    except BaseException as error:  # an interrupt too: all or nothing
        left = _undo(engine, release, built, earlier, tell)
        if left and isinstance(error, MoparError):
            raise PlatformError(f"{error}; remove {left} with {engine.name}, which mopar could not") from error
        raise
    if earlier is not None:
        tell("removing what it replaces")
        remove_all(engine, labels_of(name), but=layout.labels, keep_images=True)
    kept = set(built.names.values())
    remove_images(engine, [image for image in engine.names("image", labels_of(name)) if image not in kept])


def _undo(engine: Engine, release: Release, built: Built, earlier: Found | None, tell: Tell) -> str:
    """Remove a release that failed, and have the earlier one answer again; returns what is left."""
    tell("removing what was started")
    removed = remove_all(engine, release.plan.labels, keep_images=True)
    remove_images(engine, built.new)
    if earlier is not None and earlier.gateway is not None:
        engine.start([earlier.gateway.name])
        wait_for_answers(earlier.gateway.labels[URL], release.plan.ready_s)
    return ", ".join(removed.left)


PLATFORM = ContainerPlatform()
