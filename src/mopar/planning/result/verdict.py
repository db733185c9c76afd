"""The reason for a verdict in one line: compared with the unsplit model, or with the best split."""

from mopar.planning.choice import choose, choose_unsplit
from mopar.planning.space.feasibility import least_latency_ms, require_slo
from mopar.planning.space.problem import Problem, fixed_problem
from mopar.planning.space.question import Question
from mopar.planning.space.solution import Solution
from mopar.types import InfeasibleError


def verdict_reason(problem: Problem, solution: Solution, slo_ms: float | None) -> str:
    """Why a solution is split, or not."""
    question = problem.question
    if solution.functions > 1:
        unsplit = choose_unsplit(question, slo_ms)
        held = f"{_held_mib(solution)} MiB in all against {_held_mib(unsplit)}"
        compared = f"{_counted(solution)}: {_compared(solution, unsplit)} of unsplit"
        text = f"{compared}, {held}{_unsplit_note(question, slo_ms)}"
    else:
        text = _why_unsplit(problem, solution, slo_ms)
    return text + (f"; latencies counted to {solution.grid_ms:.2g} ms" if solution.grid_ms else "")


def _unsplit_note(question: Question, slo_ms: float | None) -> str:
    try:
        least_ms = least_latency_ms(fixed_problem(question, question.unsplit))
        if slo_ms is not None:
            require_slo(least_ms, slo_ms)
    except InfeasibleError as error:
        return f", which is not possible ({error})"
    return ""


def _why_unsplit(problem: Problem, solution: Solution, slo_ms: float | None) -> str:
    if problem.end == 1:
        return "the model has no cut position"
    if problem.question.max_functions == 1:
        return "one function is all that is allowed"
    try:
        split = choose(problem.split(), slo_ms)
    except InfeasibleError as error:
        return f"no split is possible ({error})"
    return f"the best split has {_counted(split)}: {_compared(split, solution)} of unsplit"


def _counted(solution: Solution) -> str:
    """Number of functions, and of slices where these are fewer."""
    if solution.functions == len(solution.slices):
        return f"{solution.functions} functions"
    several = "slice" if len(solution.slices) == 1 else "slices"
    return f"{solution.functions} functions for {len(solution.slices)} {several}"


def _held_mib(solution: Solution) -> int:
    """Memory of all functions together."""
    return sum(size.memory_mib * size.parts for _, _, size in solution.slices)


def _compared(solution: Solution, unsplit: Solution) -> str:
    latency = solution.latency_ms / unsplit.latency_ms if unsplit.latency_ms > 0 else 1.0
    if unsplit.cost_usd <= 0:
        return f"{latency:.2f}x the latency"
    return f"{solution.cost_usd / unsplit.cost_usd:.2f}x the cost and {latency:.2f}x the latency"
