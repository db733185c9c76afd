"""What a plan's reason says beside the comparison with the unsplit model: what it counts on, and what would beat it."""

import math
from dataclasses import replace

from mopar.planning.model.cost_model import CostModel
from mopar.planning.model.evaluate import predict
from mopar.planning.model.quota import TWO_CPUS
from mopar.planning.model.shape import PlanShape
from mopar.planning.numbers import up_to
from mopar.planning.space.feasibility import least_start_ms
from mopar.planning.space.problem import Problem
from mopar.types import Predicted

_SOONER = 0.75
"""A start that takes at most this share of a plan's is worth telling."""


def burst_remark(model: CostModel, shape: PlanShape, predicted: Predicted) -> str:
    """Which functions count on using more than their share of a CPU for a moment, unpaid; empty where none does.

    Where CPU is billed, what they use is paid for.
    """
    if model.book.vcpu_s_usd > 0:
        return ""
    period_ms = model.book.quota_period_ms
    names = [
        function.name
        for function, figures in zip(shape.functions, predicted.functions, strict=True)
        if function.cpu < 1 and figures.latency_ms <= up_to(function.cpu * period_ms)
    ]
    if not names:
        return ""
    given = f"{names[0]}, with less than a CPU, finishes"
    if len(names) > 1:
        given = f"{len(names)} functions with less than a CPU finish"
    return f"{given} at full speed within the quota of one {period_ms:g} ms period"


def one_function_remark(model: CostModel, shape: PlanShape, unsplit: PlanShape, predicted: Predicted) -> str:
    """Whether one function of two CPUs beats a plan with parallel parts; empty where it does not, or is not known.

    It has no more CPUs than the parts have together; a profile knows times with two threads at most.
    """
    layers = [(graph.start, graph.stop) for graph in shape.graphs]
    if len(set(layers)) == len(layers) or not model.two_threads:
        return ""
    (function,) = unsplit.functions
    wide = replace(function, cpu=TWO_CPUS, threads=round(TWO_CPUS))
    found = predict(model, replace(unsplit, functions=(wide,)))
    cost = found.cost_per_million_usd / predicted.cost_per_million_usd
    latency = found.latency_ms / predicted.latency_ms
    if cost > 1 or latency > 1:
        return ""
    return f"one function of 2 CPUs is expected to take {latency:.2f}x its latency at {cost:.2f}x its cost"


def start_remark(problem: Problem, predicted: Predicted, unsplit: Predicted) -> str:
    """How long functions that start side by side take, and where cuts shorten that; empty where no platform says."""
    if problem.question.model.limits.start_ms is None:
        return ""
    took_ms, whole_ms = (max(function.init_ms for function in one.functions) for one in (predicted, unsplit))
    text = f"starts in {took_ms:.0f} ms"
    if len(predicted.functions) > 1:
        text += f", unsplit in {whole_ms:.0f}"
    least_ms = least_start_ms(problem)
    if problem.question.max_functions == 1 or least_ms > _SOONER * took_ms:
        return text
    return f"{text}; with max_start_ms, functions that start side by side take {math.ceil(least_ms)} or more"
