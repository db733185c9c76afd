"""``mopar profile``: measures a model's layers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mopar.cli.machine_load import note_load
from mopar.cli.options import (
    InputsFile,
    InputShapes,
    Json,
    ModelPath,
    NoCache,
    Quiet,
    dtypes_of,
    parse_inputs,
    shapes_of,
)
from mopar.cli.output import Output, run, say_next, table
from mopar.cli.patterns import render_patterns
from mopar.cli.sizes import growth_rows
from mopar.types import Profile

_SHOWN, _NAMED = 12, 5
_MIB = 1 << 20


def command(
    model: ModelPath,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Where to write.")] = Path(
        "profile.json"
    ),
    input_shapes: InputShapes = None,
    inputs: InputsFile = None,
    predict: Annotated[
        bool, typer.Option("--predict", help="Predict instead of measuring; the model is not run.")
    ] = False,
    no_cache: NoCache = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure each layer's time, weights and activations, and the model's required memory.

    Example: mopar profile resnet50.onnx --input image=1x3x224x224 -o profile.json
    """

    def verb(out: Output) -> None:
        from mopar.files import check_output
        from mopar.pipeline.profile import measure_model, predict_model
        from mopar.profiling.document import profile_json, write_profile

        arguments = parse_inputs(input_shapes)
        check_output(output)
        shapes, dtypes = shapes_of(arguments), dtypes_of(arguments)
        if predict:
            _, measured = predict_model(model, inputs=inputs, shapes=shapes, dtypes=dtypes, progress=out.progress)
        else:
            _, measured = measure_model(
                model,
                inputs=inputs,
                shapes=shapes,
                dtypes=dtypes,
                use_cache=not no_cache,
                progress=out.progress,
            )
        write_profile(output, measured)
        note_load(out, measured)
        out.result(measured, lambda console: _render(console, measured, output), profile_json)

    run(as_json, verb, quiet=quiet)


def _few(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _render(console: Console, profile: Profile, path: Path) -> None:
    whole = profile.whole
    console.print(
        f"{profile.model.name}: {profile.model.parameters / 1e6:.1f} M parameters, {len(profile.layers)} layers, "
        f"{len(profile.cut_positions)} cut positions; unsplit: {whole.latency_ms:.2f} ms, {whole.memory_mib:.0f} MiB, "
        f"{whole.unattributed_ms:+.2f} ms in no layer",
        highlight=False,
    )
    if profile.source == "predicted":
        console.print(
            f"predicted, not measured: half of such predictions are within {whole.spread_ms / 2:.2f} ms",
            highlight=False,
        )
    if profile.assumed:
        console.print(
            f"upper bounds are assumed where sizes depend on values: {_few(profile.assumed)}", highlight=False
        )
    slowest = sorted(profile.layers, key=lambda layer: -layer.latency_ms)[:_SHOWN]
    rows = [
        (
            str(layer.index),
            "+".join(layer.operators),
            f"{layer.latency_ms:.3f}",
            f"{layer.latency_ms / whole.latency_ms:.1%}",
            f"{layer.weight_bytes / _MIB:.2f}",
            f"{layer.activation_bytes / _MIB:.2f}",
        )
        for layer in sorted(slowest, key=lambda layer: layer.index)
    ]
    columns = ("layer", "operators", "ms", "share", "weights\nMiB", "activations\nMiB")
    console.print(table(f"The {len(rows)} slowest layers", columns, rows))
    render_patterns(console, profile)
    growth = growth_rows(profile)
    if len(growth) > 1:
        console.print(table("The unsplit model by input size", ("sizes", "ms", "MiB"), growth))
    console.print(f"written to {path}", highlight=False)
    say_next(console, "plan", path, "-o", "plan.json")
