"""The best plan of a profile, and the front of plans.

All are chains of slices. The search adds up the latencies of the slices, one after the other. Where neighbouring slices
do not wait for each other the prediction, which follows the calls, can only be shorter.
"""

from dataclasses import replace

from mopar.planning.choice import choose, fastest
from mopar.planning.model.codings import NO_CODINGS, Codings
from mopar.planning.model.evaluate import predict
from mopar.planning.model.prices import HEADROOM_MIN_MIB, HEADROOM_SHARE, Headroom
from mopar.planning.numbers import up_to
from mopar.planning.policy import DEFAULT, SearchPolicy
from mopar.planning.result.chain import solution_shape
from mopar.planning.result.cut_reasons import cut_reasons
from mopar.planning.result.downsampling import downsampling_note
from mopar.planning.result.front import FrontPoint, front
from mopar.planning.result.plan import written
from mopar.planning.result.verdict import verdict_reason
from mopar.planning.slo import Slo, default_slo, resolved_slo
from mopar.planning.space.downsample import downsampled
from mopar.planning.space.feasibility import require_slo
from mopar.planning.space.problem import Problem, fixed_problem, free_problem
from mopar.planning.space.question import Question, make_question
from mopar.planning.space.solution import Solution
from mopar.planning.validate.profile import check_profile
from mopar.types import InfeasibleError, Plan, PlatformLimits, PriceBook, Profile


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
    max_cpu: float | None = None,
    exact: bool = False,
    headroom_share: float = HEADROOM_SHARE,
    headroom_min_mib: float = HEADROOM_MIN_MIB,
    policy: SearchPolicy = DEFAULT,
    codings: Codings = NO_CODINGS,
) -> Plan:
    """The best plan over all cuts and sizes.

    O(n^2) memory, O(n^2 x functions) time for n cut positions. For a model with more cut positions than the policy's
    ``all_positions_up_to``, ``most_positions`` are searched (``space.downsample``), and the reason gives the result
    with half as many.

    Args:
        profile: what was measured of the model.
        book: prices, sizes and the billing unit.
        limits: the platform's limits, and the costs of its calls.
        objective: ``cost`` (the cheapest within the SLO), ``latency`` (the cheapest of those as fast as the
            fastest, within 1%), ``balanced``
            (the knee of the front of cost and latency, the point farthest from the line through its ends; that of plans
            without parallel parts where it gains more than it gives away).
        slo_ms: most latency of a request; None for any. ``default`` is 1.03 times the fastest unsplit function's for
            ``cost`` (the fastest plan's where limits forbid the unsplit model), any for the others.
        budget_usd: most that a million requests may cost, for ``latency``.
        max_functions: in place of the platform's own limit.
        max_parts: most functions that compute a slice in parallel; None for as many as the profile has, 1 for none.
        cpu: CPUs of each function, where the book sells them separately from memory.
        max_cpu: most CPUs of a function; None for as many as the book sells.
        exact: whether to search every cut position, however many there are.
        headroom_share: of required memory, added to it.
        headroom_min_mib: added at least.
        policy: the extent of the search.
        codings: of tensors that are sent encoded where they pass between functions. A step is not considered where
            parts make shares of such a tensor that its codec does not encode.

    Raises:
        InfeasibleError: no plan keeps the limits; names the limit, its value and the nearest feasible value.
        UsageError: an argument makes no sense.
        ProfileError: the profile's parts do not fit each other.
    """
    check_profile(profile)
    question = make_question(
        profile,
        book,
        limits,
        objective=objective,
        max_functions=max_functions,
        max_parts=max_parts,
        budget_usd=budget_usd,
        cpu=cpu,
        max_cpu=max_cpu,
        headroom=Headroom(headroom_share, headroom_min_mib),
        policy=policy.exact() if exact else policy,
        codings=codings,
    )
    problem = _free(question)
    slo, note = _free_slo(problem, slo_ms)
    try:
        solution = choose(problem, slo)
    except InfeasibleError as error:
        solution, note = _within_by_calls(problem, slo, error)
    reason = verdict_reason(problem, solution, slo)
    if problem.end - 1 < len(question.cut_positions):
        reason += f"; {downsampling_note(problem, solution, slo)}"
    reason += f"; {note}" if note else ""
    return written(problem, solution, slo, label=objective, reason=reason, cuts=cut_reasons(problem, solution, slo))


def _free(question: Question) -> Problem:
    """The problem with all cut positions free, or with many positions, some of them."""
    return free_problem(question, question.between(downsampled(question, question.cut_positions)))


def _free_slo(problem: Problem, slo_ms: Slo) -> tuple[float | None, str]:
    """The SLO of a plan whose cuts are free, and a note on it.

    By default it follows from the unsplit model, or where limits forbid that, from the fastest allowed plan.
    """
    question = problem.question
    if question.objective != "cost" or not isinstance(slo_ms, str):
        return resolved_slo(slo_ms, None), ""
    whole = fixed_problem(question, question.unsplit)
    if whole.allows((0, 0, 1)):
        return resolved_slo(slo_ms, whole), ""
    least_ms = fastest(problem).latency_ms
    return default_slo(least_ms), f"slo from the fastest possible plan, of {least_ms:.3f} ms"


def _within_by_calls(problem: Problem, slo_ms: float | None, error: InfeasibleError) -> tuple[Solution, str]:
    """The fastest plan if it keeps an SLO that is too short for the search, which adds up slices.

    Slices that do not wait for each other run in parallel: a request's latency then follows from the calls.

    Raises:
        InfeasibleError: it does not; the error names the fastest plan's predicted latency.
    """
    if error.limit != "slo_ms" or slo_ms is None:
        raise error
    question = problem.question
    alike = choose(problem.with_question(replace(question, objective="latency", budget_usd=None)), None)
    tried = [(found, predict(question.model, solution_shape(problem, found))) for found in (fastest(problem), alike)]
    solution, predicted = min(tried, key=lambda one: one[1].latency_ms)
    require_slo(predicted.latency_ms, slo_ms)
    most_usd = question.budget_usd
    if most_usd is not None and predicted.cost_per_million_usd > up_to(most_usd * 1e6):
        raise error
    return solution, "the fastest plan: only slices that run at once keep the slo"


def plan_front(
    profile: Profile,
    book: PriceBook,
    limits: PlatformLimits,
    *,
    slo_ms: float | None = None,
    max_functions: int | None = None,
    max_parts: int | None = None,
    cpu: float | None = None,
    max_cpu: float | None = None,
    exact: bool = False,
    headroom_share: float = HEADROOM_SHARE,
    headroom_min_mib: float = HEADROOM_MIN_MIB,
    policy: SearchPolicy = DEFAULT,
    codings: Codings = NO_CODINGS,
) -> tuple[FrontPoint, ...]:
    """Plans that no other one beats in latency, cost and memory at once; arguments and errors as for ``plan``."""
    check_profile(profile)
    question = make_question(
        profile,
        book,
        limits,
        max_functions=max_functions,
        max_parts=max_parts,
        cpu=cpu,
        max_cpu=max_cpu,
        headroom=Headroom(headroom_share, headroom_min_mib),
        policy=policy.exact() if exact else policy,
        codings=codings,
    )
    return front(_free(question), resolved_slo(slo_ms, None))
