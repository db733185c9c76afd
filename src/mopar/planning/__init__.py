"""Decides how to cut a model: pure functions over a profile, a price book and a platform's limits."""

from mopar.planning.codecs import cheapest, crossing_ms, encodable, for_parts, stored, worthwhile
from mopar.planning.given import plan_cuts, plan_uniform, plan_unsplit
from mopar.planning.model.codings import NO_CODINGS, Codings
from mopar.planning.model.evaluate import evaluate
from mopar.planning.model.function_memory import slice_memory_mib
from mopar.planning.model.prices import HEADROOM_MIN_MIB, HEADROOM_SHARE, with_headroom
from mopar.planning.model.shape import PlanShape, Size, shape_of
from mopar.planning.planner import plan, plan_front
from mopar.planning.policy import SearchPolicy
from mopar.planning.result.chain import Slice, chain_shape
from mopar.planning.result.front import FrontPoint
from mopar.planning.result.scale import scaled
from mopar.planning.result.text import PlanText, layers_text, parse_plan, plan_text
from mopar.planning.slo import SLO_SLACK
from mopar.planning.space.question import OBJECTIVES
from mopar.planning.validate.plan import check_plan

__all__ = [
    "HEADROOM_MIN_MIB",
    "HEADROOM_SHARE",
    "NO_CODINGS",
    "OBJECTIVES",
    "SLO_SLACK",
    "Codings",
    "FrontPoint",
    "PlanShape",
    "PlanText",
    "SearchPolicy",
    "Size",
    "Slice",
    "chain_shape",
    "cheapest",
    "check_plan",
    "crossing_ms",
    "encodable",
    "evaluate",
    "for_parts",
    "layers_text",
    "parse_plan",
    "plan",
    "plan_cuts",
    "plan_front",
    "plan_text",
    "plan_uniform",
    "plan_unsplit",
    "scaled",
    "shape_of",
    "slice_memory_mib",
    "stored",
    "with_headroom",
    "worthwhile",
]
