"""Measure in the loop: plans are built and measured, the profile is corrected, until a plan does as predicted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mopar.bundle import build, open_bundle
from mopar.files import temporary_folder
from mopar.gateway.arrays import Array
from mopar.graph import Model
from mopar.pipeline.correction import corrected
from mopar.pipeline.reference import ReferenceModel
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.pipeline.verify import verify
from mopar.planning import plan_text
from mopar.profiling import Progress
from mopar.types import BundleError, InfeasibleError, Plan, Profile, RefineTry
from mopar.types.reports import Verification

HOLDS = 0.05
"""A prediction holds where what is measured lies within this share of it."""


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
    reference: ReferenceModel,
    requests: Sequence[Mapping[str, Array]],
    *,
    tries: int = 3,
    progress: Progress = lambda _stage, _share: None,
) -> Refined:
    """Plan, build and measure, and where the prediction does not hold, correct the profile and plan again.

    A plan that comes out a second time is measured a second time: it holds only where the corrected figures do.

    Args:
        model: that the profile is of.
        profile: to start from.
        options: of the plans.
        reference: to compare answers with.
        requests: inputs; the first is the point at which time and memory are measured.
        tries: plans to measure at most; at least one.
        progress: called with each stage, and the share of all that is done.

    Raises:
        InfeasibleError: no plan keeps the limits, by the profile as measured or as corrected.
        BundleError: the slices' answers differ from the model's.
    """
    assert tries >= 1
    done: list[RefineTry] = []
    while True:
        plan = _replan(profile, options, done)
        progress(f"measuring plan {len(done) + 1}: {len(plan.functions)} functions", len(done) / tries)
        found = _measured(model, plan, reference, requests)
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


def _measured(
    model: Model, plan: Plan, reference: ReferenceModel, requests: Sequence[Mapping[str, Array]]
) -> Verification:
    with temporary_folder("mopar-refine-") as folder:
        root = folder / "bundle"
        build(model, plan, root)
        found = verify(open_bundle(root, check=False), reference, requests)
    if not found.equal:
        error = found.max_rel_error
        how = "differ in shape, type or finiteness" if error is None else f"are off by {error:.1e} of the largest value"
        raise BundleError(f"{plan_text(plan)}: its answers {how}")
    return found


def holds(found: Verification) -> bool:
    """Whether latency and memory are within 5% of what was predicted, and no function is known to have died."""
    pairs = [(found.latency_ms.predicted, found.latency_ms.measured)]
    pairs += [(function.predicted_mib, function.measured_mib) for function in found.functions]
    near = all(got is not None and abs(got - want) <= HOLDS * want for want, got in pairs)
    return near and all(function.survived is not False for function in found.functions)


def _tried(plan: Plan, found: Verification) -> RefineTry:
    return RefineTry(
        text=plan_text(plan),
        predicted_ms=found.latency_ms.predicted,
        measured_ms=found.latency_ms.measured,
        predicted_mib=tuple(function.predicted_mib for function in found.functions),
        measured_mib=tuple(function.measured_mib for function in found.functions),
        held=holds(found),
    )
