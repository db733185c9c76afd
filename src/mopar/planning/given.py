"""Plans with given cuts: those that the user names, uniform ones, and none. Only sizes are chosen."""

from collections.abc import Sequence

from mopar.planning.choice import choose
from mopar.planning.model.codings import NO_CODINGS, Codings
from mopar.planning.model.prices import HEADROOM_MIN_MIB, HEADROOM_SHARE, Headroom
from mopar.planning.result.plan import written
from mopar.planning.slo import Slo, resolved_slo
from mopar.planning.space.problem import fixed_problem
from mopar.planning.space.question import Question, make_question
from mopar.planning.space.uniform import uniform_cuts
from mopar.planning.validate.profile import check_profile
from mopar.types import Plan, PlatformLimits, PriceBook, Profile, UsageError


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
    max_cpu: float | None = None,
    headroom_share: float = HEADROOM_SHARE,
    headroom_min_mib: float = HEADROOM_MIN_MIB,
    codings: Codings = NO_CODINGS,
) -> Plan:
    """The plan with exactly these cuts; only sizes are chosen. Arguments and errors as for ``plan``.

    ``slo_ms="default"`` is 1.03 times the latency of the cuts at their fastest sizes, so that given cuts never fail for
    an SLO that was not set. A number that is no cut position is a UsageError that names the nearest ones.
    """
    check_profile(profile)
    question = make_question(
        profile,
        book,
        limits,
        objective=objective,
        max_functions=max_functions,
        cpu=cpu,
        max_cpu=max_cpu,
        headroom=Headroom(headroom_share, headroom_min_mib),
        codings=codings,
    )
    chosen = sorted(set(cuts))
    _require_cuts(question, cuts)
    reason = f"cut at {', '.join(map(str, chosen))}, as asked" if cuts else "one function, as asked"
    return _fixed(question, chosen, slo_ms, "cuts", reason)


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
    max_cpu: float | None = None,
    headroom_share: float = HEADROOM_SHARE,
    headroom_min_mib: float = HEADROOM_MIN_MIB,
    codings: Codings = NO_CODINGS,
) -> Plan:
    """The plan with ``k`` slices of times as equal as the cut positions allow; otherwise like ``plan_cuts``.

    A model with fewer cut positions gives fewer slices, and ``reason`` says so.
    """
    if k < 1:
        raise UsageError(f"uniform {k}: a plan has at least 1 slice")
    check_profile(profile)
    question = make_question(
        profile,
        book,
        limits,
        objective=objective,
        max_functions=max_functions,
        cpu=cpu,
        max_cpu=max_cpu,
        headroom=Headroom(headroom_share, headroom_min_mib),
        codings=codings,
    )
    most = len(question.cut_positions) + 1
    count = min(k, most)
    reason = f"{count} slices of equal time, as asked"
    if count < k:
        reason = f"{count} slices of equal time: {k} were asked for, the model's cut positions allow {most}"
    return _fixed(question, uniform_cuts(question, count), slo_ms, "uniform", reason)


def plan_unsplit(
    profile: Profile,
    book: PriceBook,
    limits: PlatformLimits,
    *,
    objective: str = "cost",
    slo_ms: Slo = "default",
    cpu: float | None = None,
    max_cpu: float | None = None,
    headroom_share: float = HEADROOM_SHARE,
    headroom_min_mib: float = HEADROOM_MIN_MIB,
) -> Plan:
    """The unsplit model as one function, at its best size; otherwise like ``plan_cuts``."""
    check_profile(profile)
    question = make_question(
        profile,
        book,
        limits,
        objective=objective,
        cpu=cpu,
        max_cpu=max_cpu,
        headroom=Headroom(headroom_share, headroom_min_mib),
    )
    return _fixed(question, [], slo_ms, objective, "one function, as asked")


def _fixed(question: Question, cuts: Sequence[int], slo_ms: Slo, label: str, reason: str) -> Plan:
    problem = fixed_problem(question, question.between(cuts))
    slo = resolved_slo(slo_ms, problem if question.objective == "cost" else None)
    return written(problem, choose(problem, slo), slo, label=label, reason=reason)


def _require_cuts(question: Question, cuts: Sequence[int]) -> None:
    known = question.cut_positions
    for cut in cuts:
        if cut in known:
            continue
        if not known:
            raise UsageError(f"{cut} is no cut position: the model has none")
        near = sorted(sorted(known, key=lambda index: abs(index - cut))[:6])
        raise UsageError(
            f"{cut} is no cut position: the nearest are {', '.join(map(str, near))} (of {known[0]} to {known[-1]})"
        )
