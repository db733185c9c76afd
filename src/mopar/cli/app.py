"""The command line's verbs, in the order of the pipeline."""

from collections.abc import Callable

import typer

from mopar.cli import bench, build, import_, infer, plan, profile, serve, up, verify

_VERBS: dict[str, Callable[..., None]] = {
    "import": import_.command,
    "profile": profile.command,
    "plan": plan.command,
    "build": build.command,
    "verify": verify.command,
    "serve": serve.command,
    "infer": infer.command,
    "bench": bench.command,
    "up": up.command,
}

app = typer.Typer(
    name="mopar",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Cut a trained model into serverless functions of the right size.\n\nExample: mopar up model.onnx",
)
for _name, _command in _VERBS.items():
    app.command(_name)(_command)


def main() -> None:
    """Run the command line."""
    app()
