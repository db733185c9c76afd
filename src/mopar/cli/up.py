"""``mopar up``: profiles, plans, builds and serves a model."""

from pathlib import Path
from typing import Annotated

import typer

from mopar.cli.deploy import deploy_bundle
from mopar.cli.deployments import chosen_platform
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
from mopar.gateway.options import DEFAULT_PORT, ServeOptions


def command(
    context: typer.Context,
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
    host: Annotated[str | None, typer.Option(help="Address to listen on; on local 127.0.0.1.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on, 0 for any free port; on local 8000.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the model; default: the model file's stem.")] = None,
    no_cache: NoCache = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Profile, plan, build and serve a model, or deploy it to a platform; results of earlier runs are reused.

    On local it is served here until Ctrl-C. Elsewhere it is deployed, and the platform's own options come last.

    Example: mopar up resnet50.onnx --port 8000
    """

    def verb(out: Output) -> int:
        from mopar.pipeline.stages import PlanOptions
        from mopar.pipeline.up import prepare, workplace_of
        from mopar.platforms.local.background import LocalOptions
        from mopar.profiling.document import read_profile

        serving = {"--host": host, "--port": port}
        context.args += [f"{flag}={value}" for flag, value in serving.items() if value is not None]
        chosen, chosen_options = chosen_platform(platform, context, model)
        planned = PlanOptions(
            platform, prices, objective, parse_slo(slo_ms), max_functions, max_parts=parts, max_cpu=max_cpu
        )
        bundle = prepare(
            model,
            workplace_of(model, work),
            planned,
            inputs=inputs,
            shapes=shapes_of(parse_inputs(input_shapes)),
            use_cache=not no_cache,
            progress=out.progress,
        )
        out.done()
        note_load(out, read_profile(workplace_of(model, work).profile))
        out.text(lambda console: render_plan(console, bundle.manifest.plan))
        if not isinstance(chosen_options, LocalOptions):
            return deploy_bundle(out, bundle, chosen, name, chosen_options)
        options = ServeOptions(
            host=chosen_options.host,
            port=DEFAULT_PORT if port is None else port,
            name=name,
            transport=chosen_options.transport,
            token_file=chosen_options.token_file,
        )
        serve_in_foreground(out, bundle, options)

    run(as_json, verb, quiet=quiet)
