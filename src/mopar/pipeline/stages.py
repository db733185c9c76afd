"""Plans as the command line's options ask for them, and the requests that they are checked on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from mopar.gateway.arrays import Array
from mopar.pipeline.codecs.preferred import preferred
from mopar.pipeline.profile import Shapes
from mopar.planning import (
    NO_CODINGS,
    Codings,
    FrontPoint,
    check_plan,
    plan,
    plan_cuts,
    plan_front,
    plan_uniform,
    stored,
)
from mopar.platforms.books import load_book, load_limits, run_by
from mopar.platforms.networks import behind
from mopar.profiling import load_inputs, resized_inputs, sample_inputs
from mopar.shapes import parse_shapes
from mopar.types import (
    InfeasibleError,
    InputRange,
    InputRecipe,
    Network,
    Plan,
    PlatformLimits,
    PriceBook,
    Profile,
    TensorSpec,
    UsageError,
)


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What ``mopar plan`` takes. ``cuts`` and ``uniform`` exclude each other.

    ``max_parts`` is of functions that compute a slice side by side, of the planner's own plans;
    ``budget_usd`` is of a million requests; ``exact`` looks at every cut position of a large model; ``max_cpu`` is of a
    function; ``network`` lies between the gateway and the functions; with ``object_store``, tensors that no message
    holds may pass through one; ``orchestration`` names what runs the plan, whose price is then part of the plan's;
    ``max_start_ms`` is of a function.
    """

    platform: str = "local"
    prices: str | None = None
    objective: str = "cost"
    slo_ms: float | Literal["default"] | None = "default"
    max_functions: int | None = None
    cuts: tuple[int, ...] | None = None
    uniform: int | None = None
    budget_usd: float | None = None
    exact: bool = False
    max_parts: int | None = None
    max_cpu: float | None = None
    network: Network | None = None
    object_store: bool = False
    orchestration: str | None = None
    max_start_ms: float | None = None


def limits_of(options: PlanOptions) -> PlatformLimits:
    """The platform's limits and its costs of calls, the network's included. Raises UsageError."""
    limits = behind(load_limits(options.platform), options.network)
    return limits if options.max_start_ms is None else replace(limits, max_start_ms=options.max_start_ms)


def book_of(options: PlanOptions, limits: PlatformLimits) -> PriceBook:
    """The prices, of what runs the plan too. Raises UsageError."""
    return run_by(load_book(options.prices or limits.prices), options.orchestration)


def make_plan(profile: Profile, options: PlanOptions, codings: Codings = NO_CODINGS) -> Plan:
    """The plan that the options ask for, of tensors that are sent encoded.

    A store is used where the plan is then the better one.

    Raises:
        UsageError, InfeasibleError.
    """
    objects = stored(profile, limits_of(options)) if options.object_store else {}
    if not objects:
        return _made(profile, options, codings)
    with_store = _made(profile, options, {**objects, **codings})
    try:
        without = _made(profile, options, codings)
    except InfeasibleError:
        return with_store
    return with_store if preferred(with_store, without) else without


def _made(profile: Profile, options: PlanOptions, codings: Codings) -> Plan:
    if options.cuts is not None and options.uniform is not None:
        raise UsageError("--cuts and --uniform exclude each other: each says where to cut")
    if options.budget_usd is not None and (options.cuts is not None or options.uniform is not None):
        raise UsageError("--budget-usd goes with neither --cuts nor --uniform: it is for the planner's own cuts")
    if options.max_parts is not None and (options.cuts is not None or options.uniform is not None):
        raise UsageError("--parts goes with neither --cuts nor --uniform: their slices are one function each")
    limits = limits_of(options)
    return replace(_planned(profile, options, limits, codings), network=options.network)


def _planned(profile: Profile, options: PlanOptions, limits: PlatformLimits, codings: Codings) -> Plan:
    book = book_of(options, limits)
    if options.cuts is not None:
        return plan_cuts(
            profile,
            book,
            limits,
            options.cuts,
            slo_ms=options.slo_ms,
            max_functions=options.max_functions,
            max_cpu=options.max_cpu,
            codings=codings,
        )
    if options.uniform is not None:
        return plan_uniform(
            profile,
            book,
            limits,
            options.uniform,
            slo_ms=options.slo_ms,
            max_functions=options.max_functions,
            max_cpu=options.max_cpu,
            codings=codings,
        )
    return plan(
        profile,
        book,
        limits,
        objective=options.objective,
        slo_ms=options.slo_ms,
        budget_usd=options.budget_usd,
        max_functions=options.max_functions,
        max_parts=options.max_parts,
        max_cpu=options.max_cpu,
        exact=options.exact,
        codings=codings,
    )


def make_front(profile: Profile, options: PlanOptions) -> tuple[FrontPoint, ...]:
    """The front of latency, cost and memory of which ``make_plan`` chooses.

    Raises:
        UsageError, InfeasibleError.
    """
    limits = limits_of(options)
    return plan_front(
        profile,
        book_of(options, limits),
        limits,
        slo_ms=None if options.slo_ms == "default" else options.slo_ms,
        max_functions=options.max_functions,
        max_parts=options.max_parts,
        max_cpu=options.max_cpu,
        exact=options.exact,
    )


def checked_plan(loaded: Plan) -> Plan:
    """A plan read from a file, once its parts are known to fit. Raises UsageError."""
    check_plan(loaded, max((graph.stop for graph in loaded.graphs), default=0))
    return loaded


def requests_for(
    specs: tuple[TensorSpec, ...],
    recipes: Sequence[InputRecipe],
    *,
    inputs: Path | None = None,
    shapes: Shapes | None = None,
    ranges: Sequence[InputRange] = (),
    count: int = 3,
) -> list[dict[str, Array]]:
    """Requests to compare answers on: the file's or the measured one, others of its shape, then the ends of the range.

    Args:
        specs: the model's inputs.
        recipes: how the measured request was made.
        inputs: a file of values, which come first.
        shapes: in place of the measured point's.
        ranges: of the inputs; where ranges were stated, a request of the smallest sizes (at least 1 of each dimension)
            and one of the largest come last.
        count: how many requests of the first one's shape.

    Raises:
        InputError: names, element types or shapes do not fit the model.
    """
    stated = {name: shape.point for name, shape in parse_shapes(shapes).items()}
    point = {recipe.name: recipe.shape for recipe in recipes} | stated
    given = load_inputs(inputs) if inputs is not None else None
    requests = []
    if given is not None:
        requests.append(sample_inputs(specs, given=given)[0])
        point = {name: value.shape for name, value in requests[0].items()}
    requests.extend(sample_inputs(specs, shapes=point, seed=seed)[0] for seed in range(count - len(requests)))
    by_file = [replace(recipe, source="file") for recipe in recipes] if given is not None else recipes
    for end in _ends(ranges) if any(item.stated for item in ranges) else ():
        if end != point:
            requests.append(resized_inputs(specs, requests[0], by_file, end))
    return requests


def largest_of(requests: Sequence[Mapping[str, Array]]) -> Mapping[str, Array]:
    """The request of the most bytes: what memory is measured on."""
    return max(requests, key=lambda request: sum(value.nbytes for value in request.values()))


def _ends(ranges: Sequence[InputRange]) -> list[dict[str, tuple[int, ...]]]:
    """The smallest and the largest shapes that must be answered."""
    smallest = {
        item.name: tuple(max(size, min(1, most)) for size, most in zip(item.smallest, item.largest, strict=True))
        for item in ranges
    }
    largest = {item.name: item.largest for item in ranges}
    return [smallest, largest]
