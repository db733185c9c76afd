"""``mopar deploy``: a bundle's functions and a gateway on a platform, until they are removed."""

from typing import TYPE_CHECKING

import typer
from rich.console import Console

from mopar.cli.deployments import NameOption, PlatformName, chosen_platform, show_deployed
from mopar.cli.options import BundlePath, Json, Quiet
from mopar.cli.output import Output, run, say_next

if TYPE_CHECKING:
    from mopar.bundle import Bundle
    from mopar.platforms.deploying import AnyPlatform


def command(
    context: typer.Context,
    bundle: BundlePath,
    platform: PlatformName = "local",
    name: NameOption = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Deploy a bundle, or update what is deployed under its name, and wait until it answers.

    Example: mopar deploy bundle/ --platform container --name resnet50 --engine podman
    """

    def verb(out: Output) -> int:
        from mopar.bundle import open_bundle

        chosen, options = chosen_platform(platform, context, bundle)
        return deploy_bundle(out, open_bundle(bundle), chosen, name, options)

    run(as_json, verb, quiet=quiet)


def deploy_bundle(out: Output, bundle: "Bundle", platform: "AnyPlatform", name: str | None, options: object) -> int:
    """Deploy an opened bundle and print what runs; the exit code."""
    from mopar.platforms.names import checked_name, name_from

    deployed = checked_name(name) if name is not None else name_from(bundle.manifest.name)
    out.progress(f"deploying {deployed}")
    found = platform.deploy(bundle, deployed, options, out.step)

    def render(console: Console) -> None:
        show_deployed(console, found)
        if found.gateway is not None:
            say_next(console, "infer", found.gateway.url, "--inputs", "FILE.npz", "-o", "OUT.npz")

    out.result(found, render)
    return 0 if found.ready else 1
