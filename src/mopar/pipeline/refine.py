"""Measure in the loop: plans are built and measured, the profile is corrected, until a plan does as predicted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from mopar.bundle import build, open_bundle
from mopar.files import temporary_folder
from mopar.gateway.arrays import Array
from mopar.graph import Model
from mopar.pipeline.reference import WholeModel
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.pipeline.verify import Verification, verify
from mopar.planning import plan_text
from mopar.planning.model.times import elapsed_ms
from mopar.types import BundleError, InfeasibleError, MemorySample, Plan, Profile, RefineTry

HOLDS = 0.05
"""A prediction holds where what is measured lies within this share of it."""
_LEAST_FACTOR = 0.25

Say = Callable[[str, float | None], None]


@dataclass(frozen=True, slots=True)
class Refined:
    """What measuring in the loop came to.

    Attributes:
        plan: the last one that was measured, with all tries; it keeps the SLO as predicted by ``profile``.
        profile: as corrected by all measurements but those of the last try.
        held: whether that plan does as predicted.
    """

    plan: Plan
    profile: Profile
    held: bool


def refine(
    model: Model,
    profile: Profile,
    options: PlanOptions,
    whole: WholeModel,
    requests: Sequence[Mapping[str, Array]],
    *,
    tries: int = 3,
    progress: Say = lambda _stage, _share: None,
) -> Refined:
    """Plan, build and measure, and where the prediction does not hold, correct the profile and plan again.

    A plan that comes out a second time is measured a second time: it holds only where the corrected figures do.

    Args:
        model: that the profile is of.
        profile: to start from.
        options: of the plans.
        whole: to compare answers with.
        requests: inputs; the first is the point at which time and memory are measured.
        tries: plans to measure at most; at least one.
        progress: told what goes on.

    Raises:
        InfeasibleError: no plan keeps the limits, by the profile as measured or as corrected.
        BundleError: the slices' answers differ from the model's.
    """
    assert tries >= 1
    done: list[RefineTry] = []
    while True:
        plan = _replan(profile, options, done)
        progress(f"measuring plan {len(done) + 1}: {len(plan.functions)} functions", len(done) / tries)
        found = _measured(model, plan, whole, requests)
        done.append(_tried(plan, found))
        if done[-1].held or len(done) == tries:
            return Refined(replace(plan, tries=tuple(done)), profile, done[-1].held)
        profile = corrected(profile, plan, found)


def _replan(profile: Profile, options: PlanOptions, done: Sequence[RefineTry]) -> Plan:
    try:
        return make_plan(profile, options)
    except InfeasibleError as error:
        if not done:
            raise
        raise InfeasibleError(
            f"after {len(done)} measured plans: {error}", limit=error.limit, value=error.value, nearest=error.nearest
        ) from error


def _measured(model: Model, plan: Plan, whole: WholeModel, requests: Sequence[Mapping[str, Array]]) -> Verification:
    with temporary_folder("mopar-refine-") as folder:
        root = folder / "bundle"
        build(model, plan, root)
        found = verify(open_bundle(root, check=False), whole, requests)
    if not found.equal:
        raise BundleError(f"{plan_text(plan)}: its answers are off by {found.max_rel_error:.1e} of the largest value")
    return found


def holds(found: Verification) -> bool:
    """Whether latency and each function's memory are within 5% of what was predicted, and all functions survived."""
    pairs = [(found.latency_ms.predicted, found.latency_ms.measured)]
    pairs += [(function.predicted_mib, function.measured_mib) for function in found.functions]
    near = all(got is not None and abs(got - want) <= HOLDS * want for want, got in pairs)
    return near and all(function.survived for function in found.functions)


def _tried(plan: Plan, found: Verification) -> RefineTry:
    return RefineTry(
        text=plan_text(plan),
        predicted_ms=found.latency_ms.predicted,
        measured_ms=found.latency_ms.measured,
        predicted_mib=tuple(function.predicted_mib for function in found.functions),
        measured_mib=tuple(function.measured_mib for function in found.functions),
        held=holds(found),
    )


def corrected(profile: Profile, plan: Plan, found: Verification) -> Profile:
    """The profile with what measuring a chain of slices told.

    What functions take more than predicted, by their median, is the hop's where there are several; what a function
    takes beyond that is its layers', in proportion to their time. What the request takes beyond its functions, and was
    not predicted, lies between them. Required memory of a slice takes the place of samples that it overlaps.
    """
    graphs = {graph.id: graph for graph in plan.graphs}
    spans = [(graphs[function.graphs[0]].start, graphs[function.graphs[0]].stop) for function in plan.functions]
    more_ms = [
        0.0 if function.measured_ms is None else function.measured_ms - function.predicted_ms
        for function in found.functions
    ]
    hop_ms = max(sorted(more_ms)[len(more_ms) // 2], -profile.runtime.hop_billed_ms) if len(more_ms) > 1 else 0.0
    elapsed = elapsed_ms(profile)
    layers = list(profile.layers)
    for (start, stop), extra_ms in zip(spans, more_ms, strict=True):
        before_ms = elapsed[stop] - elapsed[start]
        factor = max(1 + (extra_ms - hop_ms) / before_ms, _LEAST_FACTOR) if before_ms > 0 else 1.0
        for place in range(start, stop):
            layer_ms = factor * (elapsed[place + 1] - elapsed[place])
            layers[place] = replace(layers[place], latency_ms=layer_ms)
    return replace(
        profile,
        layers=tuple(layers),
        whole=replace(profile.whole, latency_ms=sum(layer.latency_ms for layer in layers)),
        runtime=replace(
            profile.runtime,
            hop_ms=max(profile.runtime.hop_ms + hop_ms + _between_ms(found, more_ms), 0.0),
            hop_billed_ms=max(profile.runtime.hop_billed_ms + hop_ms, 0.0),
        ),
        samples=_samples(profile, spans, found),
    )


def _between_ms(found: Verification, more_ms: Sequence[float]) -> float:
    """What the request takes more than its functions do, and than was predicted, per function."""
    if found.latency_ms.measured is None:
        return 0.0
    return (found.latency_ms.measured - found.latency_ms.predicted - sum(more_ms)) / len(more_ms)


def _samples(profile: Profile, spans: Sequence[tuple[int, int]], found: Verification) -> tuple[MemorySample, ...]:
    fresh = [
        MemorySample(*span, function.measured_mib)
        for span, function in zip(spans, found.functions, strict=True)
        if function.measured_mib is not None
    ]
    kept = [
        sample
        for sample in profile.samples
        if not any(sample.start < other.stop and other.start < sample.stop for other in fresh)
    ]
    return tuple(sorted([*kept, *fresh], key=lambda sample: sample.start))
