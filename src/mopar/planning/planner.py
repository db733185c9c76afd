"""Plans from a profile: the best one, the given one, the uniform one and the unsplit one.

All are chains of slices, of the layers in canonical order, or where it pays, with parallel branches in another one
(``orders``). The search adds up the latencies of the slices, one after the other. Where neighbouring
slices do not wait for each other the prediction, which follows the calls, can only be shorter.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from math import ceil, isfinite
from typing import Literal

from mopar.planning.arrange import Arranged, arranged, likely
from mopar.planning.at_size import beyond_range
from mopar.planning.decide import Decider
from mopar.planning.explain import cut_reasons
from mopar.planning.feasibility import least_latency_ms, require_slo
from mopar.planning.front import FrontPoint, front, undominated
from mopar.planning.loss import merging_note
from mopar.planning.memory import HEADROOM_MIN_MIB, HEADROOM_SHARE
from mopar.planning.orders import EXACT, NORMAL, ON_FRONT, Effort, branches_of
from mopar.planning.parts import Holding
from mopar.planning.problem import Problem
from mopar.planning.reorder import Reordered, reordered
from mopar.planning.search import Chosen
from mopar.planning.shape import PlanShape
from mopar.planning.sizes import Sizing
from mopar.planning.sound import check_profile
from mopar.planning.thin import thinned
from mopar.planning.uniform import uniform_cuts
from mopar.types import CutReason, InfeasibleError, LargerRequest, Plan, PlatformLimits, PriceBook, Profile, UsageError

Slo = float | None | Literal["default"]

OBJECTIVES = ("cost", "latency", "balanced")
SLO_SLACK = 1.03
"""The default SLO of a cost plan, as a multiple of the fastest unsplit function's latency."""
_HAIR = 1e-9


def plan(
    profile: Profile,
    book: PriceBook,
    limits: PlatformLimits,
    *,
    objective: str = "cost",
    slo_ms: Slo = "default",
    budget_usd: float | None = None,
    max_functions: int | None = None,
    max_parts: int | None = None,
    cpu: float | None = None,
    exact: bool = False,
    headroom_share: float = HEADROOM_SHARE,
    headroom_min_mib: float = HEADROOM_MIN_MIB,
) -> Plan:
    """The best plan over all orders of parallel branches, cuts and sizes.

    O(n^2) memory, O(n^2 x functions) time for n cut positions, those of other orders counted too. Of a model with more
    than ``ALL_UP_TO`` cut positions, at most ``MOST_POSITIONS`` are looked at (see ``thin``), and the reason says what
    half as many would have come to.

    Args:
        profile: what was measured of the model.
        book: prices, sizes and the billing unit.
        limits: what the platform forbids, and what a call takes there.
        objective: ``cost`` (the cheapest within the SLO), ``latency`` (the fastest, then the cheapest), ``balanced``
            (the knee of the front of cost and latency: the point farthest from the line through its ends).
        slo_ms: most latency of a request; None for any. ``default`` is 1.03 times the fastest unsplit
            function's for ``cost`` (the fastest plan's where limits forbid the unsplit model), any for the others.
        budget_usd: most that a million requests may cost, for ``latency``.
        max_functions: in place of the platform's own limit.
        max_parts: most functions that compute a slice side by side; None for as many as the profile has, 1 for none.
        cpu: CPUs of each function, where the book sells them apart from memory.
        exact: whether to look at every cut position, however many there are, and at every order of a dozen layers.
        headroom_share: of required memory, added to it.
        headroom_min_mib: added at least.

    Raises:
        InfeasibleError: no plan keeps the limits; names the limit, its value and the nearest that would do.
        UsageError: an argument makes no sense.
        ProfileError: the profile's parts do not fit each other.
    """
    sizing = _sizing(profile, book, cpu, headroom_share, headroom_min_mib)
    decider = _decider(sizing, limits, objective, max_functions, budget_usd, max_parts)
    canonical, effort = _free(decider, exact=exact), EXACT if exact else NORMAL
    slo, slo_note = _free_slo(decider, canonical, slo_ms, effort)
    try:
        found = arranged(decider, canonical, slo, effort)
    except InfeasibleError as error:
        found, slo_note = _within_by_calls(decider, canonical, slo, effort, error)
    reason = decider.reason(found.problem, found.chosen, decider.choose_unsplit(slo), slo)
    positions = _cut_indices(profile)
    if canonical.end - 1 < len(positions) and found.plain is not None:
        # Other orders have positions of their own; what is compared is the profile's.
        reason += f"; {merging_note(decider, canonical, found.plain, slo, positions)}"
    reason += "".join(f"; {note}" for note in (found.note, slo_note) if note)
    cuts = cut_reasons(found.problem, found.chosen, slo)
    made = _finished(
        decider, found.problem, found.chosen, slo, found.decider, label=objective, reason=reason, cuts=cuts
    )
    return replace(made, order=found.order)


def _free_slo(decider: Decider, canonical: Problem, slo_ms: Slo, effort: Effort) -> tuple[float | None, str]:
    """The SLO of a plan whose cuts are free, and what to say of it.

    By default it follows from the unsplit model, or where limits forbid that, from the fastest plan that they allow.
    """
    if decider.objective != "cost" or not isinstance(slo_ms, str):
        return _slo_ms(slo_ms, None), ""
    whole = decider.problem([0, len(decider.sizing.profile.layers)])
    if whole.allowed.any():
        return _slo_ms(slo_ms, whole), ""
    fastest = arranged(replace(decider, objective="latency"), canonical, None, effort).chosen.latency_ms
    return _rounded_slo(fastest), f"slo from the fastest possible plan, of {fastest:.3f} ms"


def _within_by_calls(
    decider: Decider, canonical: Problem, slo_ms: float | None, effort: Effort, error: InfeasibleError
) -> tuple[Arranged, str]:
    """The fastest plan where it keeps an SLO that the search, which adds up slices, finds too short.

    Slices that do not wait for each other run side by side: what a request takes then follows from the calls.

    Raises:
        InfeasibleError: it does not; it names what the fastest plan is expected to take.
    """
    if error.limit != "slo_ms" or slo_ms is None:
        raise error
    fastest = arranged(replace(decider, objective="latency", budget_usd=None), canonical, None, effort)
    shape = fastest.decider.shape(fastest.problem, fastest.chosen)
    predicted = fastest.decider.predict(shape)
    require_slo(predicted.latency_ms, slo_ms)
    most = decider.budget_usd
    if most is not None and predicted.cost_per_million_usd > most * 1e6 * (1 + _HAIR):
        raise error
    return fastest, "the fastest plan: only slices that run at once keep the slo"


def plan_front(
    profile: Profile,
    book: PriceBook,
    limits: PlatformLimits,
    *,
    slo_ms: float | None = None,
    max_functions: int | None = None,
    max_parts: int | None = None,
    cpu: float | None = None,
    exact: bool = False,
    headroom_share: float = HEADROOM_SHARE,
    headroom_min_mib: float = HEADROOM_MIN_MIB,
) -> tuple[FrontPoint, ...]:
    """Plans that no other one beats in latency, cost and memory at once; arguments and errors as for ``plan``."""
    sizing = _sizing(profile, book, cpu, headroom_share, headroom_min_mib)
    decider = _decider(sizing, limits, "cost", max_functions, max_parts=max_parts)
    problem, slo = _free(decider, exact=exact), _slo_ms(slo_ms, None)
    effort = EXACT if exact else ON_FRONT
    branches = branches_of(profile, problem.table.positions, effort)
    if branches is None:
        return front(decider, problem, slo)
    branches = likely(decider, branches, slo, effort)
    moved = branches.problem(decider)
    if not problem.groups:
        return front(decider, moved, slo, branches)
    # Slices side by side are known in canonical order alone; limits may forbid all plans of one of the two.
    try:
        found = front(decider, problem, slo)
    except InfeasibleError:
        return front(decider, moved, slo, branches)
    with suppress(InfeasibleError):
        found = undominated({*found, *front(decider, moved, slo, branches)})
    return found


def plan_cuts(
    profile: Profile,
    book: PriceBook,
    limits: PlatformLimits,
    cuts: Sequence[int],
    *,
    objective: str = "cost",
    slo_ms: Slo = "default",
    max_functions: int | None = None,
    cpu: float | None = None,
    headroom_share: float = HEADROOM_SHARE,
    headroom_min_mib: float = HEADROOM_MIN_MIB,
) -> Plan:
    """The plan with exactly these cuts; only sizes are chosen. Arguments and errors as for ``plan``.

    ``slo_ms="default"`` is 1.03 times what the cuts take at their fastest sizes, so that given cuts never
    fail for an SLO that nobody asked for. A number that is no cut position is a UsageError that says which are near.
    """
    sizing = _sizing(profile, book, cpu, headroom_share, headroom_min_mib)
    decider = _decider(sizing, limits, objective, max_functions)
    _require_cuts(profile, cuts)
    reason = f"cut at {', '.join(map(str, sorted(set(cuts))))}, as asked" if cuts else "one function, as asked"
    return _fixed(decider, sorted(set(cuts)), slo_ms, "cuts", reason)


def plan_uniform(
    profile: Profile,
    book: PriceBook,
    limits: PlatformLimits,
    k: int,
    *,
    objective: str = "cost",
    slo_ms: Slo = "default",
    max_functions: int | None = None,
    cpu: float | None = None,
    headroom_share: float = HEADROOM_SHARE,
    headroom_min_mib: float = HEADROOM_MIN_MIB,
) -> Plan:
    """The plan with ``k`` slices of times as equal as the cut positions allow; otherwise as ``plan_cuts``.

    A model with fewer cut positions gives fewer slices, and ``reason`` says so.
    """
    if k < 1:
        raise UsageError(f"uniform {k}: a plan has at least 1 slice")
    sizing = _sizing(profile, book, cpu, headroom_share, headroom_min_mib)
    decider = _decider(sizing, limits, objective, max_functions)
    most = len(_cut_indices(profile)) + 1
    count = min(k, most)
    reason = f"{count} slices of equal time, as asked"
    if count < k:
        reason = f"{count} slices of equal time: {k} were asked for, the model's cut positions allow {most}"
    return _fixed(decider, uniform_cuts(profile, count), slo_ms, "uniform", reason)


def plan_unsplit(
    profile: Profile,
    book: PriceBook,
    limits: PlatformLimits,
    *,
    objective: str = "cost",
    slo_ms: Slo = "default",
    cpu: float | None = None,
    headroom_share: float = HEADROOM_SHARE,
    headroom_min_mib: float = HEADROOM_MIN_MIB,
) -> Plan:
    """The whole model as one function, at its best size; otherwise as ``plan_cuts``."""
    sizing = _sizing(profile, book, cpu, headroom_share, headroom_min_mib)
    decider = _decider(sizing, limits, objective, None)
    return _fixed(decider, [], slo_ms, objective, "one function, as asked")


def _fixed(decider: Decider, cuts: Sequence[int], slo_ms: Slo, label: str, reason: str) -> Plan:
    problem = decider.problem([0, *cuts, len(decider.sizing.profile.layers)], fixed=True)
    slo = _slo_ms(slo_ms, problem if decider.objective == "cost" else None)
    return _finished(decider, problem, decider.choose(problem, slo), slo, label=label, reason=reason)


def _free(decider: Decider, *, exact: bool) -> Problem:
    """The question where any cut position may be cut at."""
    profile = decider.sizing.profile
    positions = _cut_indices(profile)
    return decider.problem(
        [0, *(positions if exact else thinned(profile, positions)), len(profile.layers)], in_parts=True
    )


def _finished(
    decider: Decider,
    problem: Problem,
    chosen: Chosen,
    slo_ms: float | None,
    placed: Decider | None = None,
    *,
    label: str,
    reason: str,
    cuts: tuple[CutReason, ...] = (),
) -> Plan:
    """The plan of a chain that was chosen for ``placed``, whose profile may stand in another order."""
    placed = placed or decider
    profile = decider.sizing.profile
    shape = placed.shape(problem, chosen)
    unsplit = decider.shape(decider.whole(), decider.choose_unsplit(slo_ms))
    return Plan(
        model=profile.model.name,
        graph_sha256=profile.model.graph_sha256,
        platform=decider.limits.name,
        prices=decider.sizing.book.name,
        objective=label,
        verdict="split" if len(shape.functions) > 1 else "unsplit",
        reason=reason,
        functions=shape.functions,
        graphs=shape.graphs,
        calls=shape.calls,
        outputs=shape.outputs,
        predicted=placed.predict(shape),
        unsplit=decider.predict(unsplit),
        slo_ms=slo_ms,
        recipes=profile.recipes,
        ranges=profile.ranges,
        beyond=_beyond(decider, placed, shape),
        cuts=cuts,
    )


def _beyond(decider: Decider, placed: Decider, shape: PlanShape) -> LargerRequest | None:
    """What the functions of a plan would need for requests larger than the point that was measured."""
    grown, size = beyond_range(decider.sizing.profile), decider.sizing.profile.beyond
    if grown is None or size is None:
        return None
    profile = placed.sizing.profile
    holding = Holding(profile, reordered(grown, profile.order) if isinstance(profile, Reordered) else grown)
    graphs = {graph.id: graph for graph in shape.graphs}
    needs = (holding.memory_mib([graphs[name] for name in function.graphs]) for function in shape.functions)
    return LargerRequest(size.shapes, tuple(needs))


def _sizing(
    profile: Profile, book: PriceBook, cpu: float | None, headroom_share: float, headroom_min_mib: float
) -> Sizing:
    check_profile(profile)
    if headroom_share < 0 or headroom_min_mib < 0:
        raise UsageError("headroom must be at least 0")
    if book.mib_per_vcpu is not None:
        if cpu is not None:
            raise UsageError(f"cpu {cpu:g}: with prices {book.name} memory buys CPU; leave cpu out")
        return Sizing(profile, book, None, headroom_share, headroom_min_mib)
    if cpu is not None and not (cpu > 0 and isfinite(cpu)):
        raise UsageError(f"cpu {cpu:g}: a function needs more than 0 CPUs")
    return Sizing(profile, book, cpu, headroom_share, headroom_min_mib)


def _decider(
    sizing: Sizing,
    limits: PlatformLimits,
    objective: str,
    max_functions: int | None,
    budget_usd: float | None = None,
    max_parts: int | None = None,
) -> Decider:
    if objective not in OBJECTIVES:
        raise UsageError(f"objective {objective!r}: choose one of {', '.join(OBJECTIVES)}")
    if max_functions is not None and max_functions < 1:
        raise UsageError(f"max_functions {max_functions}: a plan has at least 1 function")
    if max_parts is not None and max_parts < 1:
        raise UsageError(f"max_parts {max_parts}: a slice is computed by at least 1 function")
    if budget_usd is not None and objective != "latency":
        raise UsageError(
            f"budget_usd with objective {objective!r}: it limits the cost of the fastest plan; use latency"
        )
    if budget_usd is not None and not (budget_usd > 0 and isfinite(budget_usd)):
        raise UsageError(f"budget_usd {budget_usd:g}: must be over 0")
    most = limits.max_functions if max_functions is None else max_functions
    return Decider(sizing, limits, most, objective, None if budget_usd is None else budget_usd / 1e6, max_parts)


def _slo_ms(slo_ms: Slo, reference: Problem | None) -> float | None:
    """The SLO as a number, where there is one; the default is relative to the fastest of ``reference``."""
    if isinstance(slo_ms, str):
        if slo_ms != "default":
            raise UsageError(f"slo_ms {slo_ms!r}: give a number of ms, None or 'default'")
        return None if reference is None else _rounded_slo(least_latency_ms(reference))
    if slo_ms is not None and not (slo_ms > 0 and isfinite(slo_ms)):
        raise UsageError(f"slo_ms {slo_ms:g}: must be over 0")
    return slo_ms


def _rounded_slo(fastest_ms: float) -> float:
    """The default SLO, up to a whole microsecond, as people will read it."""
    return ceil(1000 * SLO_SLACK * fastest_ms) / 1000


def _cut_indices(profile: Profile) -> list[int]:
    return sorted({cut.index for cut in profile.cut_positions})


def _require_cuts(profile: Profile, cuts: Sequence[int]) -> None:
    known = _cut_indices(profile)
    for cut in cuts:
        if cut in known:
            continue
        if not known:
            raise UsageError(f"{cut} is no cut position: the model has none")
        near = sorted(sorted(known, key=lambda index: abs(index - cut))[:6])
        raise UsageError(
            f"{cut} is no cut position: the nearest are {', '.join(map(str, near))} (of {known[0]} to {known[-1]})"
        )
