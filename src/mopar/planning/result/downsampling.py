"""Loss from downsampling cut positions, estimated by downsampling further."""

from mopar.planning.choice import choose
from mopar.planning.space.downsample import downsampled
from mopar.planning.space.problem import Problem, free_problem
from mopar.planning.space.solution import Solution
from mopar.types import InfeasibleError


def downsampling_note(problem: Problem, solution: Solution, slo_ms: float | None) -> str:
    """Text on how many cut positions a problem has, and how its best plan compares with one of fewer positions.

    The problem is solved again with half the positions or less, which takes a quarter of the time. Where that costs
    little, so did the downsampling before; this is a measurement, not a bound.
    """
    question, looked_at = problem.question, problem.end - 1
    positions = question.cut_positions
    fewer = downsampled(question, positions, most=max(looked_at // 2, 1))
    text = f"{looked_at} of {len(positions)} cut positions looked at"
    try:
        rough = choose(free_problem(question, question.between(fewer)), slo_ms)
    except InfeasibleError:
        return f"{text} (with {len(fewer)} no plan keeps the limits)"
    latency = rough.latency_ms / solution.latency_ms if solution.latency_ms > 0 else 1.0
    cost = rough.cost_usd / solution.cost_usd if solution.cost_usd > 0 else 1.0
    return f"{text} (with {len(fewer)}, the best plan has {cost:.3f}x this cost and {latency:.3f}x this latency)"
