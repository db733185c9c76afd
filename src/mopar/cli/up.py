"""``mopar up``: profiles, plans, builds and serves a model."""

from pathlib import Path
from typing import Annotated

import typer

from mopar.cli.machine_load import note_load
from mopar.cli.options import (
    InputsFile,
    InputShapes,
    Json,
    MaxCpu,
    MaxFunctions,
    ModelPath,
    NoCache,
    Objective,
    Parts,
    Platform,
    Port,
    Prices,
    Quiet,
    Slo,
    parse_inputs,
    parse_slo,
    shapes_of,
)
from mopar.cli.output import Output, run
from mopar.cli.plan import render_plan
from mopar.cli.serve import serve_in_foreground
from mopar.gateway.options import ServeOptions


def command(
    model: ModelPath,
    input_shapes: InputShapes = None,
    inputs: InputsFile = None,
    platform: Platform = "local",
    prices: Prices = None,
    objective: Objective = "cost",
    slo_ms: Slo = None,
    max_functions: MaxFunctions = None,
    parts: Parts = None,
    max_cpu: MaxCpu = None,
    work: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for intermediate files; default: MODEL.mopar.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Port = 8000,
    name: Annotated[str | None, typer.Option(help="Name of the model; default: the model file's stem.")] = None,
    no_cache: NoCache = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Profile, plan, build and serve a model; results of earlier runs are reused.

    Example: mopar up resnet50.onnx --port 8000
    """

    def verb(out: Output) -> None:
        from mopar.pipeline.stages import PlanOptions
        from mopar.pipeline.up import prepare, workplace_of
        from mopar.profiling.document import read_profile
        from mopar.types import UsageError

        if platform != "local":
            raise UsageError(f"--platform {platform}: mopar up serves on local; use plan and build for others")
        options = PlanOptions(
            platform, prices, objective, parse_slo(slo_ms), max_functions, max_parts=parts, max_cpu=max_cpu
        )
        bundle = prepare(
            model,
            workplace_of(model, work),
            options,
            inputs=inputs,
            shapes=shapes_of(parse_inputs(input_shapes)),
            use_cache=not no_cache,
            progress=out.progress,
        )
        out.done()
        note_load(out, read_profile(workplace_of(model, work).profile))
        out.text(lambda console: render_plan(console, bundle.manifest.plan))
        serve_in_foreground(out, bundle, ServeOptions(host=host, port=port, name=name))

    run(as_json, verb, quiet=quiet)
