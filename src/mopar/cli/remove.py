"""``mopar remove``: takes a deployment from its platform."""

import typer
from rich.console import Console

from mopar.cli.deployments import DeployedName, PlatformName, chosen_platform
from mopar.cli.options import Json, Quiet
from mopar.cli.output import Output, run


def command(
    context: typer.Context,
    name: DeployedName,
    platform: PlatformName = "local",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Remove a deployment: its functions, its gateway and what was made for them. Exit code 1: something is left.

    Example: mopar remove resnet50 --platform container
    """

    def verb(out: Output) -> int:
        from mopar.platforms.names import checked_name

        chosen, options = chosen_platform(platform, context, name)
        out.progress(f"removing {name}")
        found = chosen.remove(checked_name(name), options, out.step)

        def render(console: Console) -> None:
            console.print(f"removed: {', '.join(found.removed) or 'nothing'}", highlight=False)
            if found.left:
                console.print(f"LEFT: {', '.join(found.left)}", highlight=False)

        out.result(found, render)
        return 1 if found.left else 0

    run(as_json, verb, quiet=quiet)
