"""``mopar package``: what a platform would be given of a bundle, as files."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mopar.cli.deployments import NameOption, PlatformName, chosen_platform
from mopar.cli.options import BundlePath, Json, Quiet
from mopar.cli.output import Output, run, table

_MIB = 1 << 20


def command(
    context: typer.Context,
    bundle: BundlePath,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder to write.")],
    platform: PlatformName = "container",
    name: NameOption = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write all that deploying a bundle would use: images' contexts, archives, templates, manifests.

    Example: mopar package bundle/ --platform container -o package/
    """

    def verb(out: Output) -> None:
        from mopar.bundle import open_bundle
        from mopar.platforms.names import checked_name, name_from

        chosen, options = chosen_platform(platform, context, bundle)
        opened = open_bundle(bundle)
        deployed = checked_name(name) if name is not None else name_from(opened.manifest.name)
        out.progress("packaging")
        found = chosen.package(opened, deployed, output, options, out.step)

        def render(console: Console) -> None:
            rows = [(item.name, item.path, f"{item.bytes / _MIB:.1f}") for item in found.items]
            console.print(table(None, ("part", "path", "MiB"), rows))
            console.print(f"written to {found.folder}", highlight=False)

        out.result(found, render)

    run(as_json, verb, quiet=quiet)
