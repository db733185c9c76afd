"""``mopar build``: builds a bundle of a plan and its model."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mopar.cli.options import Json, ModelPath, Quiet
from mopar.cli.output import Output, run, say_next
from mopar.cli.sizes import note_sizes


def command(
    model: ModelPath,
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A file made by `mopar plan`.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="BUNDLE", help="The folder to write.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the plan's slices, optimised for this machine, with a manifest.

    Example: mopar build resnet50.onnx plan.json -o bundle/
    """

    def verb(out: Output) -> None:
        from mopar.bundle import build
        from mopar.files import check_output, read_json
        from mopar.graph import load_model
        from mopar.pipeline.codecs.file import codecs_path, read_codecs
        from mopar.pipeline.stages import checked_plan
        from mopar.types import Plan, UsageError

        check_output(output, folder=True)
        made = checked_plan(read_json(plan, Plan, error=UsageError))
        codings = read_codecs(codecs_path(plan), made)
        out.progress("reading the model")
        manifest = build(load_model(model), made, output, codings=codings, progress=out.progress)
        size = sum(entry.bytes for graph in manifest.graphs for entry in graph.files)
        note_sizes(out, made)

        def render(console: Console) -> None:
            console.print(f"{output}: {len(made.functions)} functions, {size / 1e6:.1f} MB of graphs", highlight=False)
            say_next(console, "verify", output, "--against", model)

        out.result(manifest, render)

    run(as_json, verb, quiet=quiet)
