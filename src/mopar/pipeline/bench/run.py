"""A benchmark from the model's file to its rows."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mopar.files import temporary_folder
from mopar.graph import Model
from mopar.limits import detect_cgroups, read_ahead_kib
from mopar.machine import machine_facts
from mopar.measurement.inprocess import engine_ms
from mopar.pipeline.bench.configs import Config, planned, resized, torch_module, untouched
from mopar.pipeline.bench.needs import Needs, measured
from mopar.pipeline.bench.planner import behind_transport, planner_of
from mopar.pipeline.bench.prices import cheapest_coupled, cost_as_run, cost_in, measured_functions
from mopar.pipeline.bench.rows import gb_s, latency_of, ratios_of
from mopar.pipeline.bench.served import Samples, sample
from mopar.pipeline.codecs.calibration import Request
from mopar.pipeline.profile import Shapes, measure_model
from mopar.pipeline.reference import ReferenceModel
from mopar.pipeline.stages import PlanOptions, largest_of, requests_for
from mopar.platforms.books import book_names, load_book, load_limits
from mopar.profiling import Progress
from mopar.types import Network, PriceBook, Profile, UsageError
from mopar.types.reports import BenchReport, BenchRow, GatewayCost

BENCH_BASELINES = {
    "ort": "ort-unsplit",
    "ort-tuned": "ort-tuned-unsplit",
    "uniform": "uniform",
    "torch": "torch-unsplit",
}
COUPLED_BOOK = "aws-lambda-x86"
_OWN = ("mopar-cost", "mopar-balanced", "mopar-latency")


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What ``mopar bench`` takes.

    Attributes:
        plan: platform, prices and SLO.
        baselines: keys of BENCH_BASELINES.
        torch: MODULE:CALLABLE of the module; ``torch`` is then among the baselines.
        requests: counted requests to each configuration.
        inputs: values of the request; ``shapes`` of those that are made.
        use_cache: whether an earlier profile will do.
        transport: from gateways to functions: ``local`` or ``http``.
        network: to emulate between them, with ``http``; None for none.
    """

    plan: PlanOptions
    baselines: tuple[str, ...] = ("ort", "ort-tuned", "uniform")
    torch: str | None = None
    requests: int = 100
    inputs: Path | None = None
    shapes: Shapes | None = None
    use_cache: bool = True
    transport: str = "local"
    network: Network | None = None


def bench(path: Path, options: BenchOptions, progress: Progress = lambda _stage, _share: None) -> BenchReport:
    """Measure a model in all configurations, one request at a time, interleaved.

    Every function's limit is its required memory for the largest sizes that must be answered, measured alone as on an
    empty node, plus the same headroom, in every configuration; latency is that of the measured point. Where limits
    cannot be set, the rows say so. What mopar did not build runs with the allocator that serves it best.

    Over HTTP, plans are those of functions behind the emulated network, and tensors that compress are compressed if
    that is quicker, as measured on the request: in all plans, the tuned unsplit model and uniform slices included. The
    user's own file is sent its inputs as they are.

    Raises:
        UsageError: a baseline is unknown, or torch is asked for without its module.
        MoparError: as the stages raise.
    """
    _check(options)
    model, profile = measure_model(
        path, inputs=options.inputs, shapes=options.shapes, use_cache=options.use_cache, progress=progress
    )
    inputs, *ends = requests_for(model.inputs, profile.recipes, inputs=options.inputs, ranges=profile.ranges, count=1)
    want = ReferenceModel(path).infer(inputs)
    limits = load_limits(options.plan.platform)
    book = load_book(options.plan.prices or limits.prices)
    with temporary_folder(".mopar-bench-", path.resolve().parent) as folder:
        ahead_kib = read_ahead_kib(folder)
        configs = _configs(model, profile, options, [inputs, *ends], folder, progress)
        found = [measured(config, largest_of([inputs, *ends]), progress) for config in configs]
        sized = [
            resized(one.config, {name: math.ceil(needs.memory_mib) for name, needs in one.needs.items()})
            for one in found
        ]
        engines = [engine_ms(config.bundle, inputs) for config in sized]
        samples = sample(
            [config.bundle for config in sized],
            inputs,
            want,
            options.requests,
            transport=options.transport,
            network=options.network,
            progress=lambda share: progress("measuring all configurations, interleaved", share),
        )
    rows = tuple(
        _row(config, one.needs, engine, taken, book, profile)
        for config, one, engine, taken in zip(sized, found, engines, samples, strict=True)
    )
    return BenchReport(
        model=model.name,
        prices=book.name,
        requests=options.requests,
        read_ahead_kib=ahead_kib,
        machine=machine_facts(),
        rows=rows,
        ratios=ratios_of(rows),
    )


def _check(options: BenchOptions) -> None:
    for name in options.baselines:
        if name not in BENCH_BASELINES:
            raise UsageError(f"--baselines {name}: choose from {', '.join(BENCH_BASELINES)}")
    if "torch" in options.baselines and options.torch is None:
        raise UsageError("--baselines torch: name the module with --torch MODULE:CALLABLE")
    if options.torch is not None and options.transport != "local":
        raise UsageError(f"--torch {options.torch}: its function speaks in frames alone: use --transport local")
    if options.torch is not None and find_spec("torch") is None:
        raise UsageError(f'--torch {options.torch}: PyTorch is not installed: pip install "mopar[torch]"')


def _configs(
    model: Model, profile: Profile, options: BenchOptions, requests: Sequence[Request], root: Path, progress: Progress
) -> list[Config]:
    configs = []
    if "ort" in options.baselines:
        configs.append(untouched(model, root))
    if options.torch is not None:
        configs.append(torch_module(model, options.torch, root))
    names = tuple(BENCH_BASELINES[name] for name in ("ort-tuned", "uniform") if name in options.baselines)
    planner = planner_of(model, profile, requests, options.transport, progress)
    asked = behind_transport(options.plan, options.transport, options.network)
    return configs + planned(model, planner, asked, (*names, *_OWN), root, lambda line: progress(line, None))


def _row(
    config: Config, needs: Mapping[str, Needs], engine: float, taken: Samples, book: PriceBook, profile: Profile
) -> BenchRow:
    functions = config.bundle.manifest.plan.functions
    memory_mib = tuple(function.memory_mib for function in functions)
    held_ms, compute_ms, waiting_ms = (
        [statistics.median(samples[function.name]) for function in functions]
        for samples in (taken.held_ms, taken.engine_ms, taken.waiting_ms)
    )
    held, computed = gb_s(memory_mib, held_ms), gb_s(memory_mib, compute_ms)
    latency = latency_of(taken.latency_ms)
    required_mib = [needs[function.name].memory_mib for function in functions]
    runs = measured_functions(config.bundle.manifest.plan, required_mib, held_ms, waiting_ms)
    coupled = cheapest_coupled(load_book(COUPLED_BOOK), runs)
    predicted = config.plan.predicted if config.plan is not None else None
    return BenchRow(
        config=config.name,
        functions=len(functions),
        cpus=tuple(function.cpu for function in functions),
        latency_ms=latency,
        cpu_s_per_request=taken.cpu_s,
        engine_ms=engine,
        memory_mib=memory_mib,
        limited=detect_cgroups() is not None,
        allocator=config.bundle.manifest.allocator,
        gb_s_per_request=held,
        compute_gb_s=computed,
        communication_gb_s=held - computed,
        gateway=GatewayCost(taken.gateway_mib, taken.gateway_cpu_ms),
        gb_s_with_gateway=held + (taken.gateway_mib / 1024 * latency.p50 / 1e3 if len(functions) > 1 else 0.0),
        cost_per_million_usd=cost_as_run(book, runs),
        cost_lambda_usd=coupled.usd_per_million if coupled is not None else None,
        costs_usd={name: cost_in(load_book(name), runs) for name in book_names()},
        lambda_mib=coupled.memory_mib if coupled is not None else None,
        lambda_billed_ms=coupled.billed_ms if coupled is not None else None,
        init_ms=tuple(needs[function.name].init_ms for function in functions),
        efficiency=needed_gb_s(profile) / held,
        equal=taken.equal,
        predicted_latency_ms=predicted.latency_ms if predicted is not None else None,
        predicted_gb_s=predicted.gb_s_per_request if predicted is not None else None,
        held_ms=tuple(held_ms),
        waiting_ms=tuple(waiting_ms),
        samples_ms=tuple(taken.latency_ms),
        codecs=config.bundle.manifest.plan.codecs,
    )


def needed_gb_s(profile: Profile) -> float:
    """Memory in need over the whole request, in GiB-s (docs/measuring.md)."""
    weights = {weight.name: weight.bytes for weight in profile.weights}
    return sum(
        (sum(weights[name] for name in layer.weights) + layer.activation_bytes) / (1 << 30) * layer.latency_ms / 1e3
        for layer in profile.layers
    )
