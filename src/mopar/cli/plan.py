"""``mopar plan``: chooses how to cut a model."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from mopar.cli.codecs import Calibrated, codec_request, codecs_text, plan_without, planned_with_codecs
from mopar.cli.machine_load import note_load
from mopar.cli.options import (
    Json,
    MaxCpu,
    MaxFunctions,
    Objective,
    Parts,
    Platform,
    Prices,
    Quiet,
    Slo,
    network_between,
    parse_cuts,
    parse_slo,
)
from mopar.cli.output import Output, run, say_next, table
from mopar.cli.sizes import note_sizes
from mopar.types import CutReason, Orchestrated, Plan, RefineTry, Scale

if TYPE_CHECKING:
    from mopar.pipeline.stages import PlanOptions
    from mopar.planning import FrontPoint
    from mopar.types import Profile


def command(
    profile: Annotated[Path, typer.Argument(metavar="PROFILE", help="A file made by `mopar profile`.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Where to write.")] = Path("plan.json"),
    platform: Platform = "local",
    prices: Prices = None,
    objective: Objective = "cost",
    slo_ms: Slo = None,
    max_functions: MaxFunctions = None,
    parts: Parts = None,
    max_cpu: MaxCpu = None,
    max_start_ms: Annotated[
        float | None,
        typer.Option("--max-start-ms", metavar="X", min=0, help="Most ms that a function may take to start."),
    ] = None,
    uniform: Annotated[int | None, typer.Option(metavar="K", min=1, help="Cut into K slices of equal time.")] = None,
    cuts: Annotated[str | None, typer.Option(metavar="I,J,..", help="Cut at exactly these positions.")] = None,
    budget_usd: Annotated[
        float | None,
        typer.Option(metavar="USD", help="With --objective latency: largest cost of a million requests."),
    ] = None,
    bandwidth_mbit: Annotated[
        float | None,
        typer.Option("--bandwidth-mbit", metavar="X", help="To functions over a network: 10^6 bits per second."),
    ] = None,
    rtt_ms: Annotated[
        float | None, typer.Option("--rtt-ms", metavar="Y", help="Round trip of that network, in ms.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(metavar="R", help="Requests per second: also size the replicas of each function.")
    ] = None,
    orchestration: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Price what runs the plan: gateway (default), step-functions or entry."),
    ] = None,
    accuracy_budget: Annotated[
        float | None,
        typer.Option(metavar="X", min=0, max=100, help="Send tensors with lossy codecs: most points of 100 to lose."),
    ] = None,
    calibration: Calibrated = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="MODEL.onnx", help="The model, whose tensors are measured for codecs."),
    ] = None,
    codec: Annotated[
        list[str] | None,
        typer.Option("--codec", metavar="TENSOR=NAME", help="Force a codec: of a tensor, all=NAME, or none."),
    ] = None,
    accuracy_metric: Annotated[
        str | None, typer.Option(metavar="NAME", help="top1, argmax, cosine, relative or equal; default: what suits.")
    ] = None,
    object_store: Annotated[
        bool, typer.Option("--object-store", help="Allow tensors that no message holds: deployed with a bucket.")
    ] = False,
    train_codecs: Annotated[
        bool, typer.Option("--train-codecs", help="With --accuracy-budget: also train autoencoders, which takes long.")
    ] = False,
    pareto: Annotated[bool, typer.Option("--pareto", help="Also print the Pareto front.")] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Search every cut position, even of a large model.")] = False,
    refine: Annotated[
        Path | None,
        typer.Option("--refine", metavar="MODEL.onnx", help="Build and measure plans until one performs as predicted."),
    ] = None,
    tries: Annotated[int, typer.Option("--tries", min=1, help="With --refine: most plans to measure.")] = 3,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Choose cuts and function sizes for the lowest cost, the lowest latency, or a balance.

    Example: mopar plan profile.json --platform local --objective cost -o plan.json
    """

    def verb(out: Output) -> None:
        from mopar.files import check_output, to_json, write_whole
        from mopar.pipeline.stages import PlanOptions, make_front, make_plan
        from mopar.planning import scaled
        from mopar.profiling.document import read_profile

        check_output(output)
        options = PlanOptions(
            platform=platform,
            prices=prices,
            objective=objective,
            slo_ms=parse_slo(slo_ms),
            max_functions=max_functions,
            cuts=None if cuts is None else tuple(parse_cuts(cuts)),
            uniform=uniform,
            budget_usd=budget_usd,
            exact=exact,
            max_parts=parts,
            max_cpu=max_cpu,
            network=network_between(bandwidth_mbit, rtt_ms),
            object_store=object_store,
            orchestration=orchestration,
            max_start_ms=max_start_ms,
        )
        encoded = codec_request(accuracy_budget, codec, accuracy_metric, calibration, model, trained=train_codecs)
        if pareto or refine is not None:
            plan_without(out, encoded, options)
            encoded = None
        out.progress("planning")
        known = read_profile(profile)
        if encoded is not None:
            made = planned_with_codecs(out, encoded, known, options, (profile, output))
        elif refine is not None:
            made = _refined(refine, known, options, tries, out)
        else:
            made = make_plan(known, options)
        if rate is not None:
            made = scaled(made, rate)
        note_sizes(out, made)
        note_load(out, known)
        if known.source == "predicted":
            out.notice("the profile was predicted: `mopar verify` measures the errors of the plan's figures")
        write_whole(output, to_json(made))
        document = {**plan_document(made), "profile_source": known.source}
        points = make_front(known, options) if pareto else ()
        if pareto:
            document["front"] = points

        def render(console: Console) -> None:
            render_plan(console, made, output)
            if pareto:
                render_front(console, points)
            say_next(console, "build", f"{made.model}.onnx", output, "-o", "bundle/")

        out.result(document, render)

    run(as_json, verb, quiet=quiet)


def _refined(model: Path, profile: "Profile", options: "PlanOptions", tries: int, out: Output) -> Plan:
    """The plan that ``--refine`` arrives at, with a note about the measured plans."""
    from mopar.graph import load_model
    from mopar.pipeline.reference import ReferenceModel
    from mopar.pipeline.refine import refine
    from mopar.pipeline.stages import requests_for
    from mopar.types import UsageError

    if options.platform != "local":
        raise UsageError(f"--refine with --platform {options.platform}: plans are measured on local only")
    loaded = load_model(model)
    if loaded.graph_sha256 != profile.model.graph_sha256:
        raise UsageError(f"{model}: the profile is of another model; run: mopar profile {model}")
    requests = requests_for(loaded.inputs, profile.recipes, ranges=profile.ranges)
    found = refine(loaded, profile, options, ReferenceModel(model), requests, tries=tries, progress=out.progress)
    count = len(found.plan.tries)
    out.notice(
        f"the plan performs as predicted, within 5%, after {count} measured" if found.held
        else f"after {count} measured plans the last is not as predicted: use more --tries, or a quieter machine"
    )  # fmt: skip
    return found.plan


def plan_document(plan: Plan) -> dict[str, object]:
    """The ``--json`` document of a plan: each function with its layers, and ``text``, the one-line form.

    ``coding`` is in it where tensors are sent with lossy codecs, ``code_ratios`` where codes depend on values, and
    ``orchestration`` where what runs it is named, or tensors become objects, and ``network`` where one was stated.
    """
    from mopar.planning import plan_text

    graphs = {graph.id: graph for graph in plan.graphs}
    functions = [
        {
            "name": function.name,
            "layers": [layer for name in function.graphs for layer in range(graphs[name].start, graphs[name].stop)],
            "memory_mib": function.memory_mib,
            "cpu": function.cpu,
            "threads": function.threads,
            "replicas": function.replicas,
            "graphs": function.graphs,
        }
        for function in plan.functions
    ]
    optional = ("code_ratios", "coding", "orchestration", "network")
    left_out = {"functions"} | {name for name in optional if not getattr(plan, name)}
    fields = {name: getattr(plan, name) for name in plan.__dataclass_fields__ if name not in left_out}
    return {**fields, "functions": functions, "text": plan_text(plan)}


def render_plan(console: Console, plan: Plan, path: Path | None = None) -> None:
    """Print a plan as a table, and its figures beside those of the unsplit plan."""
    from mopar.planning import layers_text, plan_text

    graphs = {graph.id: graph for graph in plan.graphs}
    predicted = {function.name: function for function in plan.predicted.functions}
    rows = []
    for function in plan.functions:
        spans = [layers_text(graphs[name]) for name in function.graphs]
        expected = predicted[function.name]
        rows.append(
            (
                function.name,
                ", ".join(spans),
                f"{expected.billed_ms:.2f}",
                f"{expected.waiting_ms:.2f}",
                f"{expected.memory_mib:.1f}",
                str(function.memory_mib),
                f"{function.cpu:.2f}" + (f", {function.threads} threads" if function.threads > 1 else ""),
            )
        )
    console.print(
        f"{plan.model} on {plan.platform}, prices {plan.prices}: {plan.verdict}: {plan.reason}", highlight=False
    )
    console.print(
        table(None, ("function", "layers", "billed\nms", "waits\nms", "needs\nMiB", "limit\nMiB", "CPU"), rows)
    )
    for reason in plan.cuts:
        ends = "ends" if len(reason.functions) == 1 else "end"
        console.print(f"{', '.join(reason.functions)} {ends} at {reason.cut}: {reason_text(reason)}", highlight=False)
    columns = (
        "predicted",
        "functions",
        "MiB\nin all",
        "latency\nms",
        "GB-s per\nrequest",
        "USD per\nmillion",
        "efficiency",
    )
    lines = [
        (
            name,
            str(len(part.functions)),
            str(part.memory_mib),
            f"{part.latency_ms:.2f}",
            f"{part.gb_s_per_request:.3g}",
            f"{part.cost_per_million_usd:.3g}",
            f"{part.efficiency:.2f}",
        )
        for name, part in (("this plan", plan.predicted), ("unsplit", plan.unsplit))
    ]
    console.print(table(None, columns, lines))
    if plan.orchestration is not None:
        console.print(_orchestration_text(plan.orchestration), highlight=False, soft_wrap=True)
    for line in codecs_text(plan):
        console.print(line, highlight=False, soft_wrap=True)
    if plan.scale is not None:
        _render_scale(console, plan.scale)
    for tried in plan.tries:
        console.print(_try_text(tried), highlight=False, soft_wrap=True)
    console.print(plan_text(plan), highlight=False, soft_wrap=True)
    if path is not None:
        console.print(f"written to {path}", highlight=False)


def _orchestration_text(by: Orchestrated) -> str:
    """One line for what runs a plan."""
    own = f"{by.name} costs {by.cost_per_million_usd:.3g} USD per million"
    held = f", held for {by.billed_ms:g} ms" if by.billed_ms else ""
    stored = f", and {by.objects_per_million_usd:.3g} for {by.objects} tensors as objects" if by.objects else ""
    return f"of that, {own}{held}{stored}"


def _render_scale(console: Console, scale: Scale) -> None:
    """Print what a rate of requests reserves, split and unsplit."""
    rows = [
        (
            name,
            str(sum(function.replicas for function in part.functions)),
            f"{max(function.busy_share for function in part.functions):.0%}",
            str(part.gateways),
            str(part.memory_mib),
            f"{part.cpu:.2f}",
        )
        for name, part in (("this plan", scale.plan), ("unsplit", scale.unsplit))
    ]
    columns = (
        f"at {scale.rate_per_s:g} requests/s",
        "replicas",
        "busy\nat most",
        "gateways",
        "MiB\nreserved",
        "CPUs\nreserved",
    )
    console.print(table(None, columns, rows))
    several = [f"{function.name} {function.replicas}" for function in scale.plan.functions if function.replicas > 1]
    if several:
        console.print(f"replicas: {', '.join(several)}, one of each other function", highlight=False)


def _try_text(tried: RefineTry) -> str:
    """One line for a measured plan; each figure as predicted>measured."""
    measured = "-" if tried.measured_ms is None else f"{tried.measured_ms:.2f}"
    needs = " ".join(
        f"{want:.1f}>{'-' if got is None else format(got, '.1f')}"
        for want, got in zip(tried.predicted_mib, tried.measured_mib, strict=True)
    )
    verdict = "holds" if tried.held else "does not hold"
    return f"measured: {tried.predicted_ms:.2f}>{measured} ms, {needs} MiB: {verdict}"


def reason_text(reason: CutReason) -> str:
    """The reason for a cut as text: added cost and latency with the cut elsewhere, and without it."""
    parts = []
    if reason.next_best is not None and reason.next_usd is not None and reason.next_ms is not None:
        parts.append(f"next best at {reason.next_best}: {_more(reason, reason.next_usd, reason.next_ms)}")
    if reason.without_usd is not None and reason.without_ms is not None:
        parts.append(f"no cut: {_more(reason, reason.without_usd, reason.without_ms)}")
    return "; ".join(parts) or "limits allow no other"


def _more(reason: CutReason, usd: float, ms: float) -> str:
    cost = f"{usd / reason.total_usd:+.1%} cost" if reason.total_usd > 0 else "the same cost"
    return f"{cost}, {ms:+.2f} ms"


def render_front(console: Console, points: Sequence["FrontPoint"]) -> None:
    """Print the Pareto front as a table, fastest first."""
    rows = [
        (
            f"{point.latency_ms:.2f}",
            f"{point.cost_per_million_usd:.4f}",
            str(point.memory_mib),
            str(point.functions),
            ",".join(map(str, point.cuts)),
        )
        for point in points
    ]
    console.print(table("front", ("latency\nms", "USD per\nmillion", "MiB\nheld", "functions", "cuts"), rows))
