"""A plan from a solution: its functions and calls, predicted figures, and the unsplit model for comparison."""

from mopar.planning.choice import choose_unsplit
from mopar.planning.model.at_size import beyond_range
from mopar.planning.model.cost_model import CostModel
from mopar.planning.model.evaluate import predict
from mopar.planning.model.function_memory import FunctionMemory
from mopar.planning.model.orchestration import orchestrated
from mopar.planning.model.shape import PlanShape
from mopar.planning.result.chain import solution_shape
from mopar.planning.result.remarks import burst_remark, one_function_remark, start_remark
from mopar.planning.space.problem import Problem, unlimited_whole
from mopar.planning.space.solution import Solution
from mopar.types import CutReason, LargerRequest, Plan, TensorCoding


def written(
    problem: Problem,
    solution: Solution,
    slo_ms: float | None,
    *,
    label: str,
    reason: str,
    cuts: tuple[CutReason, ...] = (),
) -> Plan:
    """The plan of a solution.

    Args:
        problem: the one that was solved.
        solution: the chain.
        slo_ms: the limit on latency; None for any.
        label: the plan's objective, as its file has it.
        reason: in one line.
        cuts: reasons for their positions.
    """
    question, model = problem.question, problem.question.model
    shape = solution_shape(problem, solution)
    unsplit = solution_shape(unlimited_whole(question), choose_unsplit(question, slo_ms))
    predicted = predict(model, shape)
    unsplit_figures = predict(model, unsplit)
    remarks = (
        burst_remark(model, shape, predicted),
        one_function_remark(model, shape, unsplit, predicted),
        start_remark(problem, predicted, unsplit_figures),
    )
    codecs = _codecs(model, shape)
    return Plan(
        model=model.profile.model.name,
        graph_sha256=model.profile.model.graph_sha256,
        platform=model.limits.name,
        prices=model.book.name,
        objective=label,
        verdict="split" if len(shape.functions) > 1 else "unsplit",
        reason="; ".join([reason, *filter(None, remarks)]),
        functions=shape.functions,
        graphs=shape.graphs,
        calls=shape.calls,
        codecs={name: coding.text for name, coding in codecs.items()},
        code_ratios={name: most for name, one in codecs.items() if (most := one.most_code_ratio) is not None},
        outputs=shape.outputs,
        predicted=predicted,
        unsplit=unsplit_figures,
        slo_ms=slo_ms,
        recipes=model.profile.recipes,
        ranges=model.profile.ranges,
        beyond=_beyond(model, shape),
        cuts=cuts,
        quota_period_ms=model.book.quota_period_ms,
        orchestration=orchestrated(model, shape, predicted.latency_ms),
    )


def _codecs(model: CostModel, shape: PlanShape) -> dict[str, TensorCoding]:
    """The codecs of the tensors that some call reads, or that leave the functions."""
    read = {source.tensor for call in shape.calls for item in call.inputs for source in item.sources}
    read |= {tensor for tensor, _ in shape.outputs}
    return {name: coding for name, coding in model.codings.items() if name in read}


def _beyond(model: CostModel, shape: PlanShape) -> LargerRequest | None:
    """Memory that a plan's functions would need for larger requests, where no range is stated."""
    profile = model.profile
    grown = beyond_range(profile)
    if grown is None or profile.beyond is None:
        return None
    memory = FunctionMemory(profile, grown, model.codings)
    graphs = {graph.id: graph for graph in shape.graphs}
    needs = (memory.memory_mib([graphs[name] for name in function.graphs]) for function in shape.functions)
    return LargerRequest(profile.beyond.shapes, tuple(needs))
