"""``mopar import``: a PyTorch model becomes ONNX."""

from pathlib import Path
from typing import Annotated

import typer

from mopar.cli.options import Json
from mopar.cli.output import Output, run


def command(
    spec: Annotated[str, typer.Argument(metavar="MODULE:CALLABLE", help="What returns the torch module, or is one.")],
    inputs: Annotated[
        list[str],
        typer.Option("--input", metavar="NAME=SHAPE:DTYPE", help="An input, such as ids=batch@2xseq@16:int64."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="MODEL.onnx", help="The file to write.")],
    seed: Annotated[int, typer.Option(help="Of the example values.")] = 0,
    as_json: Json = False,
) -> None:
    """Capture a PyTorch model as ONNX, checked to answer alike.

    Example: mopar import torchvision.models:resnet50 --input image=1x3x224x224:float32 -o resnet50.onnx
    """

    def verb(out: Output) -> None:
        from mopar.capture import import_callable, source_path
        from mopar.files import check_output

        check_output(output)
        out.progress("capturing")
        written = import_callable(spec, inputs, output, seed=seed)
        document = {"model": str(written), "bytes": written.stat().st_size, "source": str(source_path(written))}
        out.result(document, lambda console: console.print(f"{written} ({written.stat().st_size / 1e6:.1f} MB)"))

    run(as_json, verb)
