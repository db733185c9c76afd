"""Plans of a small model whose slices are computed in parts, and the same slices as one function each."""

from collections.abc import Mapping
from functools import cache
from itertools import pairwise

from mopar.costmodel.predict import predict_profile
from mopar.graph import Model, load_model
from mopar.planning import Size, Slice, chain_shape
from mopar.types import Plan, Profile, ShardStep
from tests.bundle.plans import MEMORY_MIB, plan_of
from tests.models import materialise
from tests.models.drawn.profiles import slower

MODEL = "conv_chain"
ONE, TWO = Size(MEMORY_MIB, 1.0, 1), Size(MEMORY_MIB, 1.0, 1, parts=2)
ARRANGED: Mapping[str, tuple[tuple[int, int, tuple[tuple[int, int, str], ...]], ...]] = {
    # A function makes a tensor of which parts read rows with a halo, and make rows that a function joins.
    "rows": ((0, 1, ()), (1, 7, ((1, 7, "axis 2"),)), (7, 10, ())),
    # Parts read rows of the model's own input.
    "input": ((0, 8, ((0, 8, "axis 2"),)), (8, 10, ())),
    # Parts exchange all of a tensor that they make channels of, and then the rows of halves that they make.
    "exchanged": ((0, 1, ()), (1, 8, ((1, 4, "axis 1"), (4, 7, "axis 1"))), (8, 10, ())),
    # Parts read channels, a contiguous region, of what one of them made alone.
    "channels": ((0, 3, ()), (3, 9, ((3, 5, "axis 1"), (6, 8, "axis 1"))), (9, 10, ())),
}
"""Slices: start, stop and the steps, by start, stop and layout."""


@cache
def known() -> tuple[Model, Profile]:
    """The model and its profile, with layers that take long enough for each step to be worth it, on any machine."""
    model = load_model(materialise(MODEL))
    return model, predict_profile(model, slower())


def in_parts(arrangement: str) -> Plan:
    """The plan of two parts."""
    model, profile = known()
    slices = [
        Slice(start, stop, TWO if steps else ONE, tuple(_step(profile, *step) for step in steps))
        for start, stop, steps in ARRANGED[arrangement]
    ]
    shape = chain_shape(profile, slices)
    return plan_of(model, shape.graphs, shape.calls, dict(shape.outputs))


def in_one(arrangement: str) -> Plan:
    """A function for each run of layers of that plan: the same tensors pass between them."""
    model, profile = known()
    places = sorted({place for graph in in_parts(arrangement).graphs for place in (graph.start, graph.stop)})
    shape = chain_shape(profile, [Slice(start, stop, ONE) for start, stop in pairwise(places)])
    return plan_of(model, shape.graphs, shape.calls, dict(shape.outputs))


def _step(profile: Profile, start: int, stop: int, layout: str) -> ShardStep:
    return next(
        step
        for step in profile.shards
        if (step.start, step.stop, step.layout, len(step.parts)) == (start, stop, layout, 2)
    )
