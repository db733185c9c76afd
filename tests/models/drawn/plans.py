"""Plans of a profile: for every objective, on other platforms, and random chains of steps."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from mopar.planning import Size, Slice, chain_shape, plan, plan_uniform
from mopar.platforms.books import load_book, load_limits
from mopar.types import InfeasibleError, Plan, PlatformLimits, PriceBook, Profile, ShardStep, Share

_UNIFORM = 3
_PAYLOAD_BYTES = 1 << 20
_RANDOM_CHAINS = 3
_PLANNED = 3
"""How many of the possible questions are planned for a profile."""
_SIZE = 64, 1.0, 1


@dataclass(frozen=True, slots=True)
class Made:
    """A plan and its question."""

    label: str
    plan: Plan


def plans_of(profile: Profile, random: np.random.Generator) -> Iterator[Made]:
    """Different plans of a profile. Raises the errors of planning, except for a limit that no plan keeps."""
    seen = set()
    base: Plan | None = None
    questions = list(_questions().items())
    for number in random.permutation(len(questions))[:_PLANNED]:
        label, question = questions[number]
        try:
            found = question(profile)
        except InfeasibleError:
            continue
        base = base or found
        key = found.graphs, found.calls
        if key not in seen:
            seen.add(key)
            yield Made(label, found)
    base = base or plan_uniform(profile, load_book("paper"), load_limits("local"), 1, slo_ms=None)
    for _ in range(_RANDOM_CHAINS):
        yield Made("any steps", _any_chain(profile, base, random))


def _questions() -> dict[str, Callable[[Profile], Plan]]:
    local, paper = load_limits("local"), load_book("paper")
    far = replace(
        local, name="far", shares_host=False, hop_ms=0.1, hop_ms_per_mib=0.1, payload_bytes=_PAYLOAD_BYTES,
        max_functions=None,
    )  # fmt: skip
    lambdas = load_book("aws-lambda-x86")

    def planning(book: PriceBook, limits: PlatformLimits, **options: object) -> Callable[[Profile], Plan]:
        return lambda profile: plan(profile, book, limits, **options)  # type: ignore[arg-type]

    return {
        "cost": planning(paper, local),
        "cost at any latency": planning(paper, local, slo_ms=None),
        "latency": planning(paper, local, objective="latency"),
        "latency in 2 parts": planning(paper, local, objective="latency", max_parts=2),
        "latency of 4 functions": planning(paper, local, objective="latency", max_functions=4),
        "balanced": planning(paper, local, objective="balanced"),
        "far": planning(lambdas, far, objective="latency"),
        "uniform": lambda profile: plan_uniform(profile, paper, local, _UNIFORM),
    }


def _any_chain(profile: Profile, base: Plan, random: np.random.Generator) -> Plan:
    """Random slices and steps, regardless of time and cost."""
    count = int(random.choice([2, 4]))
    outputs = {spec.name for spec in profile.outputs}
    steps = [step for step in profile.shards if len(step.parts) == count and _is_usable(step, outputs)]
    begins: dict[int, list[ShardStep]] = {}
    for step in steps:
        begins.setdefault(step.start, []).append(step)
    places = [0, *(cut.index for cut in profile.cut_positions), len(profile.layers)]
    cuts = sorted(set(random.choice(places[1:-1] or [0], size=int(random.integers(0, 3))).tolist()) - {0})
    slices = []
    for start, stop in zip([0, *cuts], [*cuts, places[-1]], strict=True):
        chosen = _steps_within(start, stop, places, begins, random)
        makers = [{part.part.index for part in step.parts if part.part.outputs} for step in chosen]
        everyone = not chosen or len(set().union({0}, *makers)) == count
        parts = count if chosen and everyone else 1
        slices.append(Slice(start, stop, Size(*_SIZE, parts), tuple(chosen) if everyone else ()))
    shape = chain_shape(profile, slices)
    predicted = base.predicted.functions[0]
    figures = tuple(replace(predicted, name=function.name) for function in shape.functions)
    return replace(
        base,
        functions=shape.functions,
        graphs=shape.graphs,
        calls=shape.calls,
        outputs=shape.outputs,
        predicted=replace(base.predicted, functions=figures),
        cuts=(),
    )


def _steps_within(
    start: int, stop: int, places: list[int], begins: dict[int, list[ShardStep]], random: np.random.Generator
) -> list[ShardStep]:
    found: list[ShardStep] = []
    at = start
    while at < stop:
        options = [step for step in begins.get(at, ()) if step.stop <= stop]
        if options and random.random() < 0.9:
            short = random.random() < 0.5  # otherwise consecutive steps would be rare
            step = min(options, key=lambda one: one.stop) if short else options[int(random.integers(len(options)))]
            found.append(step)
            at = step.stop
        else:
            at = min((place for place in places if place > at), default=stop)
    return found


def _is_usable(step: ShardStep, outputs: set[str]) -> bool:
    """Whether a step leaves the model's outputs whole."""
    shares = [share for part in step.parts for share in part.part.outputs if share.tensor in outputs]
    return all(share == Share(share.tensor) for share in shares)
