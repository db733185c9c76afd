"""Decides how to cut a model: pure functions over a profile, a price book and a platform's limits."""

from mopar.planning.check import check_plan
from mopar.planning.evaluate import evaluate
from mopar.planning.memory import HEADROOM_MIN_MIB, HEADROOM_SHARE, slice_memory_mib, with_headroom
from mopar.planning.planner import OBJECTIVES, SLO_SLACK, plan, plan_cuts, plan_uniform, plan_unsplit
from mopar.planning.shape import PlanShape, Slice, chain_shape, shape_of
from mopar.planning.sizes import Size

__all__ = [
    "HEADROOM_MIN_MIB",
    "HEADROOM_SHARE",
    "OBJECTIVES",
    "SLO_SLACK",
    "PlanShape",
    "Size",
    "Slice",
    "chain_shape",
    "check_plan",
    "evaluate",
    "plan",
    "plan_cuts",
    "plan_uniform",
    "plan_unsplit",
    "shape_of",
    "slice_memory_mib",
    "with_headroom",
]
