"""Decides how to cut a model: pure functions over a profile, a price book and a platform's limits."""

from mopar.planning.check import check_plan
from mopar.planning.evaluate import evaluate
from mopar.planning.front import FrontPoint
from mopar.planning.memory import HEADROOM_MIN_MIB, HEADROOM_SHARE, slice_memory_mib, with_headroom
from mopar.planning.planner import OBJECTIVES, SLO_SLACK, plan, plan_cuts, plan_front, plan_uniform, plan_unsplit
from mopar.planning.reorder import reordered
from mopar.planning.shape import PlanShape, Slice, chain_shape, shape_of
from mopar.planning.sizes import Size
from mopar.planning.text import PlanText, parse_plan, plan_text, runs_text

__all__ = [
    "HEADROOM_MIN_MIB",
    "HEADROOM_SHARE",
    "OBJECTIVES",
    "SLO_SLACK",
    "FrontPoint",
    "PlanShape",
    "PlanText",
    "Size",
    "Slice",
    "chain_shape",
    "check_plan",
    "evaluate",
    "parse_plan",
    "plan",
    "plan_cuts",
    "plan_front",
    "plan_text",
    "plan_uniform",
    "plan_unsplit",
    "reordered",
    "runs_text",
    "shape_of",
    "slice_memory_mib",
    "with_headroom",
]
