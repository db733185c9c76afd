"""``mopar bench``: compares a model in several configurations."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from mopar.cli.options import (
    BandwidthMbit,
    InputsFile,
    InputShapes,
    Json,
    ModelPath,
    NoCache,
    Platform,
    Prices,
    Quiet,
    RttMs,
    Slo,
    TransportName,
    network_of,
    parse_inputs,
    parse_slo,
    shapes_of,
)
from mopar.cli.output import Output, run, say_next, table

if TYPE_CHECKING:
    from mopar.types.reports import BenchReport


def command(
    model: ModelPath,
    inputs: InputsFile = None,
    input_shapes: InputShapes = None,
    platform: Platform = "local",
    prices: Prices = None,
    slo_ms: Slo = None,
    baselines: Annotated[str, typer.Option(help="Any of ort, ort-tuned, uniform, torch.")] = "ort,ort-tuned,uniform",
    torch: Annotated[
        str | None, typer.Option(metavar="MODULE:CALLABLE", help="The module for the torch baseline.")
    ] = None,
    requests: Annotated[int, typer.Option(min=1, help="Measured requests per configuration.")] = 100,
    transport: TransportName = "local",
    bandwidth_mbit: BandwidthMbit = None,
    rtt_ms: RttMs = None,
    no_cache: NoCache = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure the unsplit model, uniform slices and mopar's plans, all served the same way.

    Example: mopar bench resnet50.onnx --requests 100
    """

    def verb(out: Output) -> None:
        from mopar.pipeline.bench import BenchOptions, bench
        from mopar.pipeline.stages import PlanOptions

        options = BenchOptions(
            plan=PlanOptions(platform=platform, prices=prices, slo_ms=parse_slo(slo_ms)),
            baselines=tuple(part.strip() for part in baselines.split(",") if part.strip()),
            torch=torch,
            requests=requests,
            inputs=inputs,
            shapes=shapes_of(parse_inputs(input_shapes)),
            use_cache=not no_cache,
            transport=transport,
            network=network_of(transport, bandwidth_mbit, rtt_ms),
        )
        report = bench(model, options, out.progress)

        def render(console: Console) -> None:
            render_bench(console, report)
            given = [word for text in input_shapes or () for word in ("--input", text)]
            say_next(console, "up", model, *given, *(("--inputs", inputs) if inputs is not None else ()))

        out.result(report, render)

    run(as_json, verb, quiet=quiet)


def _served_table(report: "BenchReport") -> Table:
    """Latency and memory of each configuration."""
    rows = [
        (
            row.config,
            str(row.functions),
            f"{row.latency_ms.p50:.2f}",
            f"{row.latency_ms.p95:.2f}",
            f"{row.engine_ms:.2f}",
            _range_text(row.memory_mib),
            str(sum(row.memory_mib)),
            "yes" if row.equal else "NO",
        )
        for row in report.rows
    ]
    columns = ("configuration", "functions", "p50\nms", "p95\nms", "engine\nms", "limits\nMiB", "MiB\nin all", "equal")
    return table(None, columns, rows)


def _range_text(sizes: Sequence[int]) -> str:
    """The limits of a configuration's functions: one number, or the smallest and the largest."""
    return str(sizes[0]) if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"


def render_bench(console: Console, report: "BenchReport") -> None:
    """The benchmark as tables."""
    machine = report.machine
    console.print(
        f"{report.model}: {report.requests} interleaved requests per configuration, {report.cpu:g} CPU per function; "
        f"{machine.cpu_model}, {machine.cores} cores, onnxruntime {machine.onnxruntime}",
        highlight=False,
    )
    console.print(_served_table(report))
    rows = [
        (
            row.config,
            f"{row.gb_s_per_request:.5f}",
            f"{row.waiting_gb_s:.5f}",
            f"{row.gb_s_with_gateway:.5f}",
            f"{row.cost_per_million_usd:.4f}",
            f"{row.cost_lambda_usd:.4f}",
            f"{row.efficiency:.2f}",
        )
        for row in report.rows
    ]
    columns = (
        *("configuration", "GB-s", "waiting\nGB-s", "GB-s with\ngateway", f"USD/M\n{report.prices}"),
        *("USD/M aws-\nlambda-x86", "efficiency"),
    )
    console.print(table(None, columns, rows))
    predictions = [
        (
            row.config,
            str(row.functions),
            f"{row.predicted_latency_ms:.2f}",
            f"{row.latency_ms.p50:.2f}",
            f"{row.predicted_gb_s:.5f}",
            f"{row.gb_s_per_request:.5f}",
        )
        for row in report.rows
        if row.predicted_latency_ms is not None and row.predicted_gb_s is not None
    ]
    console.print(
        table(
            None,
            (
                *("configuration", "functions", "predicted\nms", "measured\nms"),
                *("predicted\nGB-s", "measured\nGB-s"),
            ),
            predictions,
        )
    )
    for name, ratio in report.ratios.items():
        if name.startswith("mopar-"):
            console.print(f"{name}: {ratio:.3f}", highlight=False)
