"""``mopar bench``: compares a model in several configurations."""

from collections import Counter
from collections.abc import Mapping, Sequence
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
from mopar.runtime.environment import KEEPING

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

    With --transport http they are planned for functions behind that network, and what compresses is compressed in all
    but the model's own file.

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


def _time_table(report: "BenchReport") -> Table:
    """Latency and CPU time of each configuration."""
    rows = [
        (
            row.config,
            str(row.functions),
            _range_text(row.cpus),
            *map(_ms_text, (row.latency_ms.p50, row.latency_ms.p95, row.engine_ms, row.cpu_s_per_request * 1e3)),
            "yes" if row.equal else "NO",
        )
        for row in report.rows
    ]
    columns = ("configuration", "func-\ntions", "CPUs\neach", "p50\nms", "p95\nms", "engine\nms", "CPU\nms", "equal")
    return table(None, columns, rows)


def _memory_table(report: "BenchReport") -> Table:
    """Memory of each configuration, and memory x time."""
    rows = [
        (
            row.config,
            _range_text(row.memory_mib),
            str(sum(row.memory_mib)),
            f"{row.gb_s_per_request:.5f}",
            f"{row.waiting_gb_s:.5f}",
            f"{row.gb_s_with_gateway:.5f}",
            f"{row.efficiency:.2f}",
        )
        for row in report.rows
    ]
    columns = (
        "configuration",
        "limits\nMiB",
        "MiB\nin all",
        "GB-s",
        "waiting\nGB-s",
        "GB-s with\ngateway",
        "efficiency",
    )
    return table(None, columns, rows)


def _cost_table(report: "BenchReport") -> Table:
    """Cost of each configuration: as it ran, and on AWS Lambda at the cheapest sizes that hold it."""
    rows = [
        (
            row.config,
            f"{row.cost_per_million_usd:.4f}",
            "-" if row.cost_lambda_usd is None else f"{row.cost_lambda_usd:.4f}",
            "-" if row.lambda_mib is None else _range_text(row.lambda_mib),
            "-" if row.lambda_billed_ms is None else f"{sum(row.lambda_billed_ms):.2f}",
        )
        for row in report.rows
    ]
    columns = (
        *("configuration", f"USD/M\n{report.prices}", "USD/M aws-\nlambda-x86"),
        *("sizes\nthere", "billed ms\nthere"),
    )
    return table(None, columns, rows)


def _prediction_table(report: "BenchReport") -> Table:
    """Predictions beside measurements, of what a plan was made for."""
    rows = [
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
    columns = (
        *("configuration", "func-\ntions", "predicted\nms", "measured\nms"),
        *("predicted\nGB-s", "measured\nGB-s"),
    )
    return table(None, columns, rows)


def _ms_text(ms: float) -> str:
    """A duration with two digits after the point, or one from 100 on, where the table has no room for more."""
    return f"{ms:.2f}" if ms < 100 else f"{ms:.1f}"


def _codecs_text(codecs: Mapping[str, str]) -> str:
    """How many tensors each codec encodes."""
    return ", ".join(f"{count} by {text}" for text, count in Counter(codecs.values()).most_common())


def _range_text(figures: Sequence[float]) -> str:
    """A figure of a configuration's functions: one number, or the smallest and the largest."""
    least, most = f"{min(figures):.5g}", f"{max(figures):.5g}"
    return least if least == most else f"{least} to {most}"


def render_bench(console: Console, report: "BenchReport") -> None:
    """The benchmark as tables."""
    machine = report.machine
    ahead = "unknown" if report.read_ahead_kib is None else f"{report.read_ahead_kib} KiB"
    console.print(
        f"{report.model}: {report.requests} interleaved requests per configuration; {machine.cpu_model}, "
        f"{machine.cores} cores, read-ahead {ahead}, onnxruntime {machine.onnxruntime}",
        highlight=False,
    )
    if not all(row.limited for row in report.rows):
        console.print("no limits could be set: those below are peaks of resident memory, and nothing enforced them")
    own = [f"{row.config} ({row.allocator})" for row in report.rows if row.allocator != KEEPING]
    if own:
        console.print(f"served best by an allocator of its own: {', '.join(own)}; all others: {KEEPING}")
    for made in (_time_table, _memory_table, _cost_table, _prediction_table):
        console.print(made(report))
    for row in report.rows:
        if row.codecs:
            console.print(f"{row.label} compresses {_codecs_text(row.codecs)}", highlight=False)
    for name, ratio in report.ratios.items():
        if name.startswith("mopar-"):
            console.print(f"{name}: {ratio:.3f}", highlight=False)
