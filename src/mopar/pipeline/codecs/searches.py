"""The searches for the codecs of a plan: among all, and among those that encode what its parts make."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from mopar.pipeline.codecs.options import CodecOptions, PlanWithCodecs
from mopar.pipeline.codecs.preferred import preferred
from mopar.pipeline.codecs.search import Search
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.planning import cheapest, encodable, for_parts
from mopar.profiling import Progress
from mopar.types import InfeasibleError, Profile, TensorCoding

Choices = Mapping[str, Sequence[TensorCoding]]
"""The codecs that each tensor may have."""


def best_of(searches: Iterable[Search], progress: Progress) -> tuple[PlanWithCodecs | None, tuple[float, ...]]:
    """The best plan of all searches, and what the plans that they measured lose."""
    found: PlanWithCodecs | None = None
    tried: list[float] = []
    for search in searches:
        other = search.run(progress)
        tried += search.tried
        if other is not None and (found is None or preferred(other.plan, found.plan)):
            found = other
    return found, tuple(tried)


def searched(profile: Profile, options: PlanOptions, codecs: CodecOptions, choices: Choices) -> Iterator[Choices]:
    """The codecs of each tensor among which the best are looked for.

    First all of them: no plan has steps whose shares they do not encode. Then, where one with the codecs alone that
    encode whatever parts make has such steps, those that encode what its parts make.
    """
    if not choices:
        return
    yield choices
    given = options.cuts is not None or options.uniform is not None or options.max_parts == 1
    if codecs.forced or given or not profile.shards:
        return
    try:
        plan = make_plan(profile, options, cheapest(for_parts(profile, choices)))
    except InfeasibleError:
        return
    kept = {
        tensor: tuple(coding for coding in codings if encodable(plan.graphs, tensor, coding))
        for tensor, codings in choices.items()
    }
    if kept != choices:
        yield {tensor: codings for tensor, codings in kept.items() if codings}
