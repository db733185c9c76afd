"""The command line's verbs, in the order of the pipeline."""

import logging
import sys
import warnings
from collections.abc import Callable, Sequence

import typer

from mopar.cli import (
    bench,
    build,
    calibrate,
    deploy,
    import_,
    infer,
    package,
    plan,
    profile,
    remove,
    serve,
    status,
    up,
    verify,
    zoo,
)
from mopar.cli.deployments import TAKES_OPTIONS, OnPlatform
from mopar.cli.errors import WRONG_USE
from mopar.cli.outcome import to_stdout
from mopar.cli.output import Output
from mopar.files import storage_error
from mopar.types import UsageError

_VERBS: dict[str, Callable[..., None]] = {
    "import": import_.command,
    "calibrate": calibrate.command,
    "profile": profile.command,
    "plan": plan.command,
    "build": build.command,
    "verify": verify.command,
    "serve": serve.command,
    "infer": infer.command,
    "bench": bench.command,
}
_ON_PLATFORMS: dict[str, Callable[..., None]] = {
    "up": up.command,
    "package": package.command,
    "deploy": deploy.command,
    "status": status.command,
    "remove": remove.command,
}

app = typer.Typer(
    name="mopar",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Cut a trained model into serverless functions of the right size.\n\nExample: mopar up model.onnx",
)
for _name, _command in _VERBS.items():
    app.command(_name)(_command)
for _name, _command in _ON_PLATFORMS.items():
    app.command(_name, cls=OnPlatform, context_settings=TAKES_OPTIONS)(_command)
app.add_typer(zoo.group, name="zoo")

# Typer has no public name for the root of what its parser raises.
_WrongUse: type[typer.BadParameter] = typer.BadParameter.__mro__[1]


def run_app(arguments: Sequence[str]) -> None:
    """Run a command and exit; errors of the argument parser are reported like all others."""
    output = Output("--json" in arguments)
    _quieten()
    try:
        with to_stdout():  # for help pages; verbs flush their own output
            code = app(arguments or ["--help"], standalone_mode=False, prog_name="mopar")
    except _WrongUse as refusal:
        verb = refusal.ctx.command_path if refusal.ctx is not None else "mopar"
        code = output.fail(UsageError(f"{refusal.format_message().rstrip('.')}: see `{verb} --help`"))
    except OSError as error:
        code = output.fail(storage_error(error))
    sys.exit(code if arguments else WRONG_USE)


def _quieten() -> None:
    """Silence warnings and log records of libraries: stderr gets one line that says what is wrong."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    if logging.lastResort is not None:
        logging.lastResort.setLevel(logging.ERROR)
