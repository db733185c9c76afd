"""The configurations that are compared: baselines as users have them, and mopar's own plans."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mopar.bundle import MANIFEST, Bundle, build, open_bundle
from mopar.files import to_json, write_whole
from mopar.graph import Model
from mopar.measurement.single import chain_bundle
from mopar.pipeline.bench.equal_cpu import TUNED, equal_cpu_plans
from mopar.pipeline.bench.planner import Planner
from mopar.pipeline.stages import PlanOptions
from mopar.types import EngineOptions, InfeasibleError, Plan

_UNIFORM_MOST = 8
_GRAPH = "g0.onnx"
_TORCH_WORKER = "mopar.pipeline.bench.torch_worker"  # by name: only the worker itself imports torch


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration.

    Attributes:
        name: of it.
        bundle: on disk.
        plan: with its prediction; None for what no plan was made for.
        codec_mib: what codecs of messages take in each function that has any, as planned: required memory is measured
            by frames, which encode nothing.
    """

    name: str
    bundle: Bundle
    plan: Plan | None
    codec_mib: Mapping[str, float] = field(default_factory=dict)

    @property
    def cpus(self) -> dict[str, float]:
        """CPUs of each function."""
        return {function.name: function.cpu for function in self.bundle.manifest.plan.functions}


def untouched(model: Model, root: Path) -> Config:
    """The user's file as it is, with ONNX Runtime's default options, as one function."""
    folder = root / "ort-unsplit"
    folder.mkdir()
    graph, *weights = (path.resolve() for path in model.files)
    copies = [_copied(path, folder / path.relative_to(graph.parent)) for path in weights]
    files = (_copied(graph, folder / _GRAPH), *copies)
    bundle = chain_bundle(model.name, (files,), (model.inputs, model.outputs), EngineOptions())
    return Config("ort-unsplit", bundle, None)


def torch_module(model: Model, spec: str, root: Path) -> Config:
    """The torch module itself, as one function: ``spec`` is its MODULE:CALLABLE."""
    folder = root / "torch-unsplit"
    folder.mkdir()
    file = folder / _GRAPH
    file.write_text(spec)
    bundle = chain_bundle(model.name, ((file,),), (model.inputs, model.outputs), EngineOptions())
    return Config("torch-unsplit", replace(bundle, worker=_TORCH_WORKER), None)


def planned(
    model: Model,
    planner: Planner,
    options: PlanOptions,
    names: tuple[str, ...],
    root: Path,
    notice: Callable[[str], None],
) -> list[Config]:
    """The planner's plans and the baselines that are plans too, each built.

    The tuned unsplit model and uniform slices are planned as the others are, codecs included: what compressing the
    model's own inputs and outputs saves is no merit of cuts. Beside plans whose functions compute with several threads
    in all at the same time stands the tuned unsplit model with as many CPUs, where this machine has them.
    """
    own = {name: _own(planner, options, name) for name in names if name.startswith("mopar-")}
    plans: list[tuple[str, Plan]] = []
    for name in names:
        if name == TUNED:
            unsplit = planner.plan(replace(options, cuts=(), slo_ms=None))
            plans.append((name, unsplit))
            codings = planner.codings(unsplit)
            plans += equal_cpu_plans(planner.profile, options, unsplit, own.values(), notice, codings)
        elif name == "uniform":
            plans += [("uniform", found) for found in _uniform(planner, options, len(own["mopar-cost"].functions))]
        else:
            plans.append((name, own[name]))
    configs = []
    for number, (name, made) in enumerate(plans):
        folder = root / f"{number}-{name}"
        notice(f"building {name} ({len(made.functions)} functions)")
        build(model, made, folder)
        configs.append(Config(name, open_bundle(folder, check=False), made, planner.codec_mib(made)))
    return configs


def _own(planner: Planner, options: PlanOptions, name: str) -> Plan:
    objective = name.removeprefix("mopar-")
    slo_ms = options.slo_ms if objective == "cost" else "default"
    return planner.plan(replace(options, objective=objective, slo_ms=slo_ms))


def resized(config: Config, memory_mib: dict[str, int]) -> Config:
    """The configuration with other memory limits; its manifest is written anew."""
    manifest = config.bundle.manifest
    functions = tuple(replace(function, memory_mib=memory_mib[function.name]) for function in manifest.plan.functions)
    changed = replace(manifest, plan=replace(manifest.plan, functions=functions))
    write_whole(config.bundle.root / MANIFEST, to_json(changed))
    return replace(config, bundle=replace(config.bundle, manifest=changed))


def _uniform(planner: Planner, options: PlanOptions, count: int) -> list[Plan]:
    """As many equal slices as the cost plan has, and the cheapest of 2 to 8 by prediction."""
    found: dict[int, Plan] = {}
    for k in sorted({max(count, 2), *range(2, _UNIFORM_MOST + 1)}):
        try:
            made = planner.plan(replace(options, uniform=k, slo_ms=None))
        except InfeasibleError:
            continue
        found.setdefault(len(made.functions), made)
    if not found:
        return []
    best = min(found.values(), key=lambda made: made.predicted.cost_per_million_usd)
    alike = found.get(max(count, 2), best)
    return [alike] if alike is best else [alike, best]


def _copied(source: Path, target: Path) -> Path:
    """The file in another folder. A copy: the engine refuses weights behind links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return target
