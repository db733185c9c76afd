"""``mopar import``: converts a PyTorch model to ONNX."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mopar.cli.options import Json, Quiet
from mopar.cli.output import Output, run, say_next, table
from mopar.types import Dim, TensorSpec
from mopar.types.ranges import Bounds


def command(
    spec: Annotated[
        str, typer.Argument(metavar="MODULE:CALLABLE", help="A torch module, or a callable that returns one.")
    ],
    inputs: Annotated[
        list[str],
        typer.Option("--input", metavar="NAME=SHAPE:DTYPE", help="An input, such as ids=batch@2xseq@1..64..512:int64."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="MODEL.onnx", help="The file to write.")],
    seed: Annotated[int, typer.Option(help="Seed of weights and example values.")] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Convert a PyTorch model to ONNX, and check that outputs are equal at both ends of each range of sizes.

    Example: mopar import torchvision.models:resnet50 --input x=1x3x224x224:float32 -o resnet50.onnx
    """

    def verb(out: Output) -> None:
        from mopar.capture import import_callable, import_inputs, source_path
        from mopar.files import check_output
        from mopar.graph import read_interface

        check_output(output)
        out.progress("capturing")
        written = import_callable(spec, inputs, output, seed=seed)
        takes, gives = read_interface(written)
        symbols = {dim for spec in takes for dim in spec.shape or ()}
        ranges = {name: bounds for name, bounds in import_inputs(inputs).ranges.items() if name in symbols}
        document = {
            "model": str(written),
            "bytes": written.stat().st_size,
            "source": str(source_path(written)),
            "inputs": takes,
            "outputs": gives,
            "ranges": ranges,
        }
        out.result(document, lambda console: _render(console, written, takes, gives, ranges))

    run(as_json, verb, quiet=quiet)


def _render(
    console: Console,
    path: Path,
    takes: Sequence[TensorSpec],
    gives: Sequence[TensorSpec],
    ranges: Mapping[str, Bounds],
) -> None:
    console.print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)", highlight=False)
    rows = [("input", spec.name, spec.dtype, _shape(spec.shape, ranges)) for spec in takes]
    rows += [("output", spec.name, spec.dtype, _shape(spec.shape, {})) for spec in gives]
    console.print(table(None, ("", "name", "type", "shape"), rows))
    say_next(console, "profile", path)


def _shape(dims: tuple[Dim, ...] | None, ranges: Mapping[str, Bounds]) -> str:
    """A shape with ranges, such as ``batch x seq (1..512)``."""
    if not dims:
        return "unknown rank" if dims is None else "scalar"
    return " x ".join(_dim(dim, ranges) for dim in dims)


def _dim(dim: Dim, ranges: Mapping[str, Bounds]) -> str:
    if isinstance(dim, str) and dim in ranges:
        return f"{dim} ({ranges[dim][0]}..{ranges[dim][1]})"
    return "?" if dim is None else str(dim)
