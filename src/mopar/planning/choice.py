"""From a problem to a solution: the searches for each objective, within the SLO and the budget."""

from dataclasses import replace

from mopar.planning.numbers import up_to
from mopar.planning.solve import objectives
from mopar.planning.solve.chains import Chain
from mopar.planning.space.feasibility import least_latency_ms, require_slo
from mopar.planning.space.problem import Problem, unlimited_whole
from mopar.planning.space.question import Question
from mopar.planning.space.solution import Solution
from mopar.types import InfeasibleError


def choose(problem: Problem, slo_ms: float | None) -> Solution:
    """The best chain for the question's objective. Raises InfeasibleError where no chain keeps limits and SLO."""
    least_ms = least_latency_ms(problem)
    if slo_ms is not None:
        require_slo(least_ms, slo_ms)
    return problem.solution(_chain(problem, least_ms, slo_ms))


def fastest(problem: Problem) -> Solution:
    """The fastest chain of all, whatever the question's objective. Raises InfeasibleError where none keeps limits."""
    return problem.solution(
        objectives.fastest(problem.chains, least_latency_ms(problem), problem.question.policy.solve)
    )


def choose_unsplit(question: Question, slo_ms: float | None) -> Solution:
    """The best size of the unsplit model, without limits or budget; its fastest where none keeps the SLO."""
    problem = unlimited_whole(replace(question, budget_usd=None))
    least_ms = least_latency_ms(problem)
    missed = slo_ms is not None and least_ms > slo_ms
    return choose(problem, least_ms if missed else slo_ms)


def _chain(problem: Problem, least_ms: float, slo_ms: float | None) -> Chain:
    question, chains, policy = problem.question, problem.chains, problem.question.policy.solve
    if question.budget_usd is not None:
        return _within_budget(problem, least_ms, slo_ms, question.budget_usd)
    if question.objective == "latency":
        as_fast_ms = least_ms * policy.as_fast
        return objectives.cheapest(chains, as_fast_ms if slo_ms is None else min(as_fast_ms, slo_ms), policy)
    if question.objective == "balanced":
        return objectives.balanced(chains, least_ms, slo_ms, policy)
    return objectives.cheapest(chains, slo_ms, policy)


def _within_budget(problem: Problem, least_ms: float, slo_ms: float | None, budget_usd: float) -> Chain:
    found = objectives.fastest_within(problem.chains, least_ms, slo_ms, budget_usd, problem.question.policy.solve)
    if found.cost_usd > up_to(budget_usd):
        raise InfeasibleError(
            f"budget_usd {budget_usd * 1e6:g}: the cheapest plan is expected to cost {found.cost_usd * 1e6:g}",
            limit="budget_usd",
            value=budget_usd * 1e6,
            nearest=found.cost_usd * 1e6,
        )
    return found
