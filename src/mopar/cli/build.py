"""``mopar build``: a plan and its model become a bundle."""

from pathlib import Path
from typing import Annotated

import typer

from mopar.cli.options import Json, ModelPath
from mopar.cli.output import Output, run


def command(
    model: ModelPath,
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A file made by `mopar plan`.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="BUNDLE", help="The folder to write.")],
    as_json: Json = False,
) -> None:
    """Write the plan's slices, optimised for this machine, with a manifest.

    Example: mopar build resnet50.onnx plan.json -o bundle/
    """

    def verb(out: Output) -> None:
        from mopar.bundle import build
        from mopar.evaluation.stages import checked_plan
        from mopar.files import check_output, read_json
        from mopar.graph import load_model
        from mopar.types import Plan, UsageError

        check_output(output, folder=True)
        made = checked_plan(read_json(plan, Plan, error=UsageError))
        out.progress("reading the model")
        manifest = build(load_model(model), made, output, progress=out.progress)
        size = sum(entry.bytes for graph in manifest.graphs for entry in graph.files)
        text = f"{output}: {len(made.functions)} functions, {size / 1e6:.1f} MB of graphs"
        out.result(manifest, lambda console: console.print(text, highlight=False))

    run(as_json, verb)
