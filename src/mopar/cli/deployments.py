"""What the verbs ``package``, ``deploy``, ``status`` and ``remove`` share: the platform and its own options."""

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperCommand

from mopar.cli.output import table
from mopar.platforms.options import options_help, parse_options
from mopar.types import UsageError

if TYPE_CHECKING:
    from mopar.platforms.deploying import AnyPlatform
    from mopar.types.deployed import Deployed

_ASK_S = 5.0
TAKES_OPTIONS = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Context settings of a verb that passes what it does not know to the platform."""


class OnPlatform(TyperCommand):
    """A verb whose help lists the options of each platform."""

    # Click's own types have no public names in typer.
    def format_epilog(self, _context: Any, formatter: Any) -> None:
        """Write a section for each platform."""
        from mopar.platforms.registry import platform_named, platform_names

        for name in platform_names():
            rows = [(option.flag, option.text) for option in options_help(platform_named(name).options)]
            if rows:
                with formatter.section(f"Options of --platform {name}"):
                    formatter.write_dl(rows)


DeployedName = Annotated[str, typer.Argument(metavar="NAME", help="Of the deployment.")]
PlatformName = Annotated[
    str, typer.Option("--platform", metavar="NAME", help="The platform; its own options come last.")
]
NameOption = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="Of the deployment; default: the model's name.")
]


def chosen_platform(name: str, context: typer.Context, argument: object) -> "tuple[AnyPlatform, object]":
    """The platform, and its options from the words that the verb does not know itself.

    Args:
        name: of the platform.
        context: of the command.
        argument: the verb's first argument, which takes an option's place where options precede it.

    Raises:
        UsageError: there is no such platform, or it has no such option.
    """
    from mopar.platforms.registry import platform_named

    platform = platform_named(name)
    if str(argument).startswith("-"):
        raise UsageError(f"{argument}: options of the platform {name} come last: {_known(platform)}")
    return platform, parse_options(platform.options, context.args, name)


def with_parameters(found: "Deployed") -> "Deployed":
    """A deployment with what its gateway says of the model, where it tells everybody who asks."""
    from mopar.gateway.client import Client
    from mopar.types import MoparError

    if found.gateway is None or not found.ready:
        return found
    with contextlib.suppress(MoparError, OSError, ValueError), Client(found.gateway.url, timeout_s=_ASK_S) as client:
        return replace(found, parameters=client.metadata().get("parameters", {}))
    return found


def show_deployed(console: Console, found: "Deployed") -> None:
    """Print a deployment as a table."""
    rows = [
        (
            function.name,
            function.endpoint,
            str(function.memory_mib),
            f"{function.cpu:g}",
            str(function.replicas),
            "yes" if function.ready else "NO",
        )
        for function in found.functions
    ]
    console.print(table(None, ("function", "endpoint", "MiB", "CPU", "replicas", "ready"), rows))
    where = "" if found.gateway is None else f" at {found.gateway.url}"
    console.print(
        f"{found.name} on {found.platform}: {'ready' if found.ready else 'NOT ready'}{where}", highlight=False
    )
    if found.parameters:
        told = ", ".join(f"{key} {value}" for key, value in found.parameters.items())
        console.print(f"the gateway says of the model: {told}", highlight=False, soft_wrap=True)


def _known(platform: "AnyPlatform") -> str:
    return ", ".join(option.flag for option in options_help(platform.options)) or "it has none"
