"""``mopar calibrate``: fits a resource model to this machine, with which profiles can be predicted."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from mopar.cli.options import Json, NoCache, Quiet
from mopar.cli.output import Output, run, say_next, table

if TYPE_CHECKING:
    from mopar.costmodel.resource_model import ResourceModel


def command(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where to write; default: the cache.")
    ] = None,
    budget_min: Annotated[float, typer.Option(metavar="MINUTES", help="How long to measure.")] = 12.0,
    no_cache: NoCache = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure models of random blocks on this machine, for `mopar profile --predict`.

    Where it is interrupted, measurements are kept and the next run continues. Example: mopar calibrate
    """

    def verb(out: Output) -> None:
        from mopar.costmodel.resource_file import encoded
        from mopar.files import check_output, write_whole
        from mopar.pipeline.calibration.calibrate import calibrate
        from mopar.pipeline.calibration.scale import calibration_path

        if output is not None:
            check_output(output)
        path = output or calibration_path()
        model = calibrate(budget_min=budget_min, use_cache=not no_cache, progress=out.progress)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, encoded(model))
        out.result(_document(model, path), lambda console: _render(console, model, path))

    run(as_json, verb, quiet=quiet)


def _document(model: "ResourceModel", path: Path) -> dict[str, object]:
    """The ``--json`` document: the path of the file and the errors of the fit."""
    return {
        "path": str(path),
        "machine": model.machine,
        "date": model.date,
        "samples": model.samples,
        "memory_error": model.memory.error,
        "families": {name: {"error": family.error} for name, family in model.families.items()},
    }


def _render(console: Console, model: "ResourceModel", path: Path) -> None:
    samples = model.samples
    console.print(
        f"{samples.models} models, {samples.kernels} kernels, {samples.slices} functions "
        f"on {model.machine.cpu_model}; memory mostly within a factor of {1 + model.memory.error:.2f}",
        highlight=False,
    )
    rows = [
        (name, f"{family.flops_per_ms / 1e6:.1f}", f"{family.bytes_per_ms / 1e6:.1f}", f"{1 + family.error:.2f}")
        for name, family in model.families.items()
    ]
    console.print(table("Kernels by family", ("family", "GFLOP/s", "GB/s", "within a factor of"), rows))
    console.print(f"written to {path}", highlight=False)
    say_next(console, "profile", "MODEL.onnx", "--predict")
