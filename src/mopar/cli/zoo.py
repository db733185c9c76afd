"""``mopar zoo``: lists and exports the reference models."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from mopar.cli.options import Json, Quiet
from mopar.cli.output import Output, run, say_next

if TYPE_CHECKING:
    from mopar.zoo import ZooModel

group = typer.Typer(
    help="List the reference models, or export one to ONNX.\n\nExample: mopar zoo export resnet50 -o resnet50.onnx",
    rich_markup_mode=None,
)


@group.command("list")
def list_models(as_json: Json = False, quiet: Quiet = False) -> None:
    """List the models with their sizes and sources.

    Example: mopar zoo list --json
    """

    def verb(out: Output) -> None:
        from mopar.zoo import zoo_models

        models = zoo_models()
        out.result([_document(model) for model in models], lambda console: _render(console, models))

    run(as_json, verb, quiet=quiet)


@group.command("export")
def export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model that `mopar zoo list` shows.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="MODEL.onnx", help="The file to write.")],
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sample inputs.")] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Export a model to ONNX, and sample inputs to MODEL.inputs.npz.

    Example: mopar zoo export resnet50 -o resnet50.onnx
    """

    def verb(out: Output) -> None:
        from mopar.files import check_output
        from mopar.zoo import export_model, inputs_path

        check_output(output)
        files = export_model(name, output, seed=seed, progress=lambda stage: out.progress(f"{name}: {stage}"))
        size = sum(file.stat().st_size for file in files)
        document = {
            "model": str(output),
            "inputs": str(inputs_path(output)),
            "files": [str(file) for file in files],
            "bytes": size,
        }
        text = f"{', '.join(map(str, files))} ({size / 1e6:.1f} MB)"

        def render(console: Console) -> None:
            console.print(text, highlight=False)
            say_next(console, "profile", output, "--inputs", inputs_path(output))

        out.result(document, render)

    run(as_json, verb, quiet=quiet)


def _document(model: "ZooModel") -> dict[str, object]:
    return {
        "name": model.name,
        "category": model.category,
        "parameters": model.parameters,
        "bytes": model.weight_bytes,
        "source": model.source,
        "trained": model.trained,
        "in_mean": model.in_mean,
        "inputs": [item.spec for item in model.inputs],
        "outputs": model.outputs,
        "packages": model.packages,
    }


def _render(console: Console, models: Sequence["ZooModel"]) -> None:
    for title, in_mean in (("The twelve over which means are taken:", True), ("With real weights:", False)):
        console.print(title)
        for model in models:
            if model.in_mean == in_mean:
                size = f"{model.parameters / 1e6:7.2f} M parameters  {model.weight_bytes / 1e6:6.1f} MB"
                console.print(f"  {model.name:<19} {model.category:<15} {size}  {model.source}", highlight=False)
    say_next(console, "zoo", "export", "NAME", "-o", "NAME.onnx")
