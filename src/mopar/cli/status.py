"""``mopar status``: a deployment as it is now."""

import typer

from mopar.cli.deployments import DeployedName, PlatformName, chosen_platform, show_deployed, with_parameters
from mopar.cli.options import Json, Quiet
from mopar.cli.output import Output, run


def command(
    context: typer.Context,
    name: DeployedName,
    platform: PlatformName = "local",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show a deployment: its functions, its address, and whether they answer. Exit code 1: not ready.

    Example: mopar status resnet50 --platform container
    """

    def verb(out: Output) -> int:
        from mopar.platforms.names import checked_name

        chosen, options = chosen_platform(platform, context, name)
        out.progress(f"asking about {name}")
        found = with_parameters(chosen.status(checked_name(name), options))
        out.result(found, lambda console: show_deployed(console, found))
        return 0 if found.ready else 1

    run(as_json, verb, quiet=quiet)
